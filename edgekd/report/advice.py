"""What to do about a check that isn't met: what would help in this run first, then what helps in general."""

from __future__ import annotations

from edgekd import units
from edgekd.report.model import CheckRow, TryRow

OUTCOMES = {"pass": "meets the limit", "inconclusive": "may meet the limit", "fail": "is not enough alone"}
SOURCES = {"on_device": "measured on the device", "on_host": "measured on this host"}


def sentences(check: CheckRow) -> list[str]:
    """One for each thing to try; what isn't known of this run is a pointer without a figure."""
    general = ("in general: " if check.tries else "") + check.advice
    return [*map(_sentence, check.tries), *([general] if check.advice else [])]


def _sentence(row: TryRow) -> str:
    bounds = [_amount(each, row) for each in (row.lower, row.upper)]
    interval = "" if bounds[0] == bounds[1] else f" ({'..'.join(bounds)})"
    source = SOURCES.get(row.provenance, row.provenance)
    return f"try {row.text}: {_amount(row.point, row)}{interval}, {source}, {OUTCOMES.get(row.verdict, row.verdict)}"


def _amount(value: float | None, row: TryRow) -> str:
    if value is None:
        return "?"
    return units.show(value, row.unit) if row.unit else f"{value:.4g}"
