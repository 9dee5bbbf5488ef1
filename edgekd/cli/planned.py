"""From what was typed to checked plans: what ``build`` and ``plan`` have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edgekd import device, pipeline, plan
from edgekd.limits import parse_option


def plans(given: Mapping[str, object]) -> list[plan.Plan]:
    """One plan for each device that was named."""
    options = plan.Options(
        limits=tuple(parse_option(text) for text in _texts(given["limits"])),
        control=bool(given["control"]),
        quick=bool(given["quick"]),
        threads=int(str(given["threads"])),
        require=str(given["require"]) if given["require"] else None,
        allow_inconclusive=bool(given.get("allow_inconclusive")),
    )
    loaded = pipeline.load(str(given["pipeline"]))
    tables = Path(str(given["output"])) / ".store" / "tables"
    return [plan.make(loaded, device.load(name), options, tables) for name in dict.fromkeys(_texts(given["devices"]))]


def _texts(values: object) -> Iterable[str]:
    return tuple(values) if isinstance(values, tuple) else ()
