"""From what was typed to checked plans: what ``build`` and ``plan`` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from edgekd import api
from edgekd.planning import Plan


def plans(given: Mapping[str, Any]) -> list[Plan]:
    """One plan for each device that was named."""
    options = cast(api.BuildOptions, {name: given[name] for name in api.BuildOptions.__annotations__ if name in given})
    return [api.plan(given["pipeline"], name, **options) for name in dict.fromkeys(given["devices"])]
