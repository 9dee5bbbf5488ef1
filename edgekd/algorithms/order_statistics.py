"""Percentiles and their confidence bounds from order statistics; nothing is interpolated."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of ``values`` do not exceed (nearest rank).

    >>> percentile([4.0, 1.0, 3.0, 2.0], 75)
    3.0

    Raises:
        ValueError: no values, or a percentage outside (0, 100].

    """
    if not values or not 0 < percent <= 100:  # noqa: PLR2004
        raise ValueError(f"found {len(values)} values and percent {percent}, expected at least 1 and (0, 100]")
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1]
