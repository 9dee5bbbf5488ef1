"""Whether the values of one sample tend to be larger than those of another, by ranks alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


class RankTest(NamedTuple):
    """How often a value of the second sample exceeds one of the first, and how likely that is by chance."""

    probability: float  # the effect size: 0.5 where neither tends to be larger
    p: float  # two-sided


def rank_test(first: Values, second: Values, effective: tuple[float, float] | None = None) -> RankTest:
    """Compare two samples by Mann and Whitney's test, in the normal approximation with ties.

    The effect size is P(second > first) + P(equal) / 2, by Vargha and Delaney 2000,
    https://doi.org/10.3102/10769986025002101. Its variance is that of ``effective`` independent values of each
    sample (default: all), so that runs that resemble the run before don't count as new evidence.

    >>> import numpy as np
    >>> rank_test(np.arange(20.0), np.arange(20.0) + 100).probability
    1.0

    Raises:
        ValueError: an empty sample.

    """
    import numpy as np

    if not (len(first) and len(second)):
        raise ValueError(f"found samples of {len(first)} and {len(second)} values, expected at least one each")
    _, place, counts = np.unique(np.concatenate((first, second)), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[place]  # of equal values the mean of their ranks
    above = ranks[len(first) :].sum() - len(second) * (len(second) + 1) / 2
    probability = float(above / (len(first) * len(second)))
    one, other = effective or (float(len(first)), float(len(second)))
    total = len(ranks)
    ties = float((counts.astype(np.float64) ** 3 - counts).sum()) / (total * (total**2 - 1)) if total > 1 else 1.0
    variance = (one + other + 1 - ties * (one + other + 1)) / (12 * one * other)
    if variance <= 0:  # all values are equal
        return RankTest(probability, 1.0)
    return RankTest(probability, math.erfc(abs(probability - 0.5) / math.sqrt(2 * variance)))
