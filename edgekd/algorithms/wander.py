"""A percentile's bounds where the runs' level wanders slowly, as on a device that warms up.

Such runs follow each other alike and count as few, so that order statistics alone bound nothing, not even far from the
limit. Level and remainder are bounded apart here: the remainder as ever, if its runs are worth enough independent ones,
and the level by what was seen of it, once more its whole range beyond that, since it may go on as it went.

This is wide on purpose. Of simulated sessions of 1,024 runs for which order statistics gave no upper bound at p50 or
p95 (autoregressive series with tau 19 to 200, alone and with noise; runs that are 5 or 30 % slower in bursts of 20 to
1,000), the true percentile lay beyond these bounds in none; in 4.4 % for p95 where tau was as long as the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from edgekd.algorithms.order_statistics import (
    MAX_DRIFT,
    PercentileBounds,
    effective_sample_size,
    percentile,
    percentile_bounds,
)

if TYPE_CHECKING:
    from edgekd.algorithms.order_statistics import Series

BLOCKS = 16  # of which each gives one level
MIN_PER_BLOCK = 16


def session_bounds(values: Sequence[float], percent: float) -> PercentileBounds:
    """Return the bounds by order statistics; one that they can't give is that of a wandering level, if there is one."""
    plain = percentile_bounds(values, percent, effective_sample_size(values, percent))
    if plain.lower is not None and plain.upper is not None:
        return plain
    wide = wandering_bounds(values, percent)
    if wide is None:
        return plain
    lower, upper = (own if own is not None else other for own, other in zip(_ends(plain), _ends(wide[0]), strict=True))
    return replace(plain, lower=lower, upper=upper)


def wandering_bounds(values: Sequence[float], percent: float) -> tuple[PercentileBounds, float] | None:
    """Return bounds that allow for a slowly wandering level, and how many independent samples the remainder is worth.

    None for short sessions, for levels more than a tenth apart (several states, not one that wanders), and where the
    remainder is worth too few samples as well: what comes in bursts shorter than a block stays in there.

    >>> warming = [1.0 + 0.01 * (index % 7) + 0.00002 * index for index in range(2048)]
    >>> plain, (wide, worth) = session_bounds(warming, 95), wandering_bounds(warming, 95)
    >>> 1.08 < plain.point < wide.upper < 1.16, worth > wide.needed
    (True, True)
    >>> wandering_bounds([1.0] * 1000 + [1.2] * 1000, 95) is None
    True
    """
    import numpy as np

    if len(values) < BLOCKS * MIN_PER_BLOCK:
        return None
    series = np.asarray(values, dtype=np.float64)
    level = _level(series)
    low, high = float(level.min()), float(level.max())
    if high - low > MAX_DRIFT * abs(float(np.median(series))):
        return None
    remainder = (series - level).tolist()
    worth = effective_sample_size(remainder, percent)
    bounds = percentile_bounds(remainder, percent, worth)
    if bounds.lower is None or bounds.upper is None:
        return None
    lower, upper = low - (high - low) + bounds.lower, high + (high - low) + bounds.upper
    return replace(bounds, point=percentile(values, percent), lower=lower, upper=upper), worth


def _level(series: Series) -> Series:
    """The medians of equal blocks, joined by lines through their middles."""
    import numpy as np

    edges = np.linspace(0, len(series), BLOCKS + 1).astype(int)
    medians = np.array([np.median(series[start:end]) for start, end in pairwise(edges)])
    middles = (edges[:-1] + edges[1:] - 1) / 2
    first, last = medians[0] - (medians[1] - medians[0]) / 2, medians[-1] + (medians[-1] - medians[-2]) / 2
    at, of = np.concatenate([[-0.5], middles, [len(series) - 0.5]]), np.concatenate([[first], medians, [last]])
    found: Series = np.interp(np.arange(len(series)), at, of)
    return found


def _ends(bounds: PercentileBounds) -> tuple[float | None, float | None]:
    return bounds.lower, bounds.upper
