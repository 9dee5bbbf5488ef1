"""How long a step took in earlier runs of the same output folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

LOOKED_AT = 30  # the newest reports


def seconds(output: Path, pipeline: str) -> Mapping[str, float]:
    """By step: how long it took when it was last made, in a run of the same pipeline if there is one."""
    found: dict[str, float] = {}
    reports = sorted(output.glob("*/*/*/report.json"), key=lambda path: (path.parent.name, str(path)))[-LOOKED_AT:]
    own = [path for path in reports if path.parts[-4] == pipeline]
    for path in (*(each for each in reports if each not in own), *own):
        found |= _taken(path)
    return found


def _taken(path: Path) -> dict[str, float]:
    """The steps of one run that didn't come out of the store; none where the report can't be read."""
    try:
        steps = json.loads(path.read_text(encoding="utf-8"))["steps"]
        return {str(step["name"]): float(step["seconds"]) for step in steps if not step["cached"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
