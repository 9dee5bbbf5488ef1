"""Where a value, its interval and its limit lie on a small bar, in percent of the bar's length."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.report.model import CheckRow

MOST = 3.0  # a ceiling's bar ends at this multiple of the limit at the latest


@dataclass(frozen=True, slots=True)
class Bar:
    """All in percent from the left; an end that isn't known, or lies outside, is the bar's own end."""

    lower: float
    upper: float
    point: float
    bound: float


def bar(check: CheckRow) -> Bar | None:
    """The bar of a check; None where nothing was observed, or the report is too old to tell the limit as a number."""
    if check.point is None or check.bound is None:
        return None
    start, end = _ends(check.point, check.bound, check.lower, check.upper)

    def place(value: float | None, unknown: float) -> float:
        return unknown if value is None else round(100 * min(max((value - start) / (end - start), 0.0), 1.0), 2)

    return Bar(place(check.lower, 0.0), place(check.upper, 100.0), place(check.point, 0.0), place(check.bound, 0.0))


def _ends(point: float, bound: float, lower: float | None, upper: float | None) -> tuple[float, float]:
    """What the bar spans: around everything that is known; from zero, where a value far below its limit is."""
    known = [value for value in (point, bound, lower, upper) if value is not None]
    low, high = min(known), max(known)
    if low >= 0 and low < bound / 2:
        return 0.0, max(min(high, MOST * bound), 1.25 * bound)
    pad = 0.15 * (high - low) or abs(bound) or 1.0
    return low - pad, high + pad
