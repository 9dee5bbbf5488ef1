"""Percentiles and their confidence bounds from order statistics; nothing is interpolated.

numpy is imported where it is used: the measurement type imports this module, and the command line imports that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Series = NDArray[np.float64]

CONFIDENCE = 0.99  # of each one-sided bound of a percentile
# A fixed model on fixed input varies by a few percent on a quiet machine. A quarter of the median between the quartiles
# means that several clock states, kinds of core or other processes were measured together: for a normal
# distribution it is a standard deviation of 18 %.
MAX_SPREAD = 0.25
# Heat moves the clock in steps of about a tenth or more. Chance doesn't get there: at the largest spread allowed
# the medians of two halves of 512 runs differ by 1.4 % (one standard error: 1.25 * 0.18 * sqrt(2 / 512)).
MAX_DRIFT = 0.10
MIN_FOR_STABILITY = 16  # quartiles of fewer values, and medians of halves under 8, say nothing


@dataclass(frozen=True, slots=True)
class PercentileBounds:
    """A percentile, between which two observed values it lies, and how many samples an upper bound needs.

    A bound is None where no claim is possible with so few samples.
    """

    point: float
    lower: float | None
    upper: float | None
    needed: int  # independent samples, at least, before any upper bound exists


@dataclass(frozen=True, slots=True)
class Stability:
    """Whether a session's values may be judged, and if not, why."""

    stable: bool
    reasons: tuple[str, ...] = ()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of ``values`` do not exceed (nearest rank).

    >>> percentile([4.0, 1.0, 3.0, 2.0], 75)
    3.0

    Raises:
        ValueError: no values, or a percentage outside (0, 100].

    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"found {len(values)} values and percent {percent}, expected at least 1 and (0, 100]")
    return sorted(values)[_nearest_rank(len(values), percent) - 1]


def rank_bounds(count: int, percent: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """Return the 1-based ranks of the two order statistics that bound a percentile, one-sided each.

    With q the true percentile, the number B of ``count`` independent samples that are not above q is
    Binomial(count, percent / 100). The value at rank r exceeds q exactly if B < r, and falls short of q exactly if
    B >= r, so the lower rank is the largest r with P(B <= r - 1) <= 1 - confidence and the upper rank
    the smallest r with P(B >= r) <= 1 - confidence. No distribution of the samples is assumed.
    Source: David and Nagaraja, Order Statistics, 3rd edition, section 7.1.

    >>> rank_bounds(1024, 95)
    (956, 989)
    >>> rank_bounds(89, 95)[1] is None
    True

    Returns:
        Lower and upper rank; None where not even the extreme value is a bound.

    Raises:
        ValueError: no samples, or a percentage or confidence that isn't inside its range.

    """
    if count < 1 or not 0 < percent < 100 or not 0 < confidence < 1:
        raise ValueError(
            f"found count {count}, percent {percent}, confidence {confidence}: none can be at or past an end"
        )
    first, masses = _binomial_window(count, percent / 100)
    alpha = 1 - confidence + 1e-12  # 1 - 0.99 is less than 0.01 in binary
    lower = first + sum(mass <= alpha for mass in accumulate(masses))
    upper = first + len(masses) - sum(mass <= alpha for mass in accumulate(reversed(masses)))
    return (lower or None, upper if upper <= count else None)


def needed_for_upper(percent: float, confidence: float = CONFIDENCE) -> int:
    """Return the least number of independent samples whose largest value bounds a percentile from above.

    Solves (percent / 100) ** n <= 1 - confidence.

    >>> [needed_for_upper(percent) for percent in (50, 90, 95, 99)]
    [7, 44, 90, 459]
    """
    return math.ceil(math.log(1 - confidence) / math.log(percent / 100))


def percentile_bounds(values: Sequence[float], percent: float, effective_count: float) -> PercentileBounds:
    """Return a percentile of ``values`` with its one-sided 99 % bounds, for correlated samples too.

    The ranks are those of ``effective_count`` independent samples (at most all). In n values, the r-th of m
    stands for the block of ranks above (r - 1) n / m and up to r n / m: the lower bound is the lowest of its block
    and the upper bound the highest, so rounding never makes a bound tighter.

    >>> percentile_bounds([float(value) for value in range(1, 1025)], 95, 1024)
    PercentileBounds(point=973.0, lower=956.0, upper=989.0, needed=90)
    >>> percentile_bounds([float(value) for value in range(1, 1025)], 95, 102.4)
    PercentileBounds(point=973.0, lower=904.0, upper=1024.0, needed=90)

    Raises:
        ValueError: no values, or a percentage outside (0, 100).

    """
    point = percentile(values, percent)
    ordered, count = sorted(values), len(values)
    effective = max(1, min(count, math.floor(effective_count)))
    lower, upper = rank_bounds(effective, percent)
    return PercentileBounds(
        point,
        None if lower is None else ordered[(lower - 1) * count // effective],
        None if upper is None else ordered[-(-upper * count // effective) - 1],
        needed_for_upper(percent),
    )


def effective_sample_size(values: Sequence[float], percent: float | None = None) -> float:
    """Return how many independent samples a series is worth: n / tau, between 1 and n.

    tau = 1 + 2 * (sum of autocorrelations over all lags), the sum ended by Geyer's initial positive sequence: pairs
    of neighbouring lags (0 and 1, 2 and 3, ...) are added for as long as a pair's sum is above zero.
    Source: Geyer 1992, Practical Markov Chain Monte Carlo, section 3.3, https://doi.org/10.1214/ss/1177011137

    For a percentile's bounds give ``percent``: the series is then 'is this run above that percentile', 0 or 1, as the
    share of runs above it is what the bounds count, and its variance is tau times that of independent runs. Slow
    runs that come in bursts count as few although the bulk is independent; a slow wander of the bulk, which every
    shared machine has, costs a high percentile little. (Bounds from it held their 99 % within 1 % in simulations of
    autoregressive series with tau 1, 3 and 19, at p50 to p99.)

    Without ``percent`` the series is the ranks: one outlier of a thousand times the median holds nearly all of the
    values' variance and would make any series look independent, while in ranks it is just the last.

    >>> effective_sample_size([1.0] * 10), effective_sample_size([1.0, 2.0] * 50)
    (10.0, 100.0)
    >>> round(effective_sample_size([float(value // 100) for value in range(1000)]), 1) < 10
    True

    Raises:
        ValueError: no values.

    """
    import numpy as np

    if not len(values):
        raise ValueError("found no values, expected at least 1")
    series = np.asarray(values, dtype=np.float64)
    if percent is None:
        return _worth(_average_ranks(series))
    place = _nearest_rank(len(series), percent) - 1
    return _worth((series > np.partition(series, place)[place]).astype(np.float64))


def stability(values: Sequence[float]) -> Stability:
    """Say whether the runs of one session vary and drift little enough to be judged.

    Spread is the distance between the quartiles over the median, drift the difference between the medians of the
    later and the earlier half over the median of all: both ignore single outliers, which the high percentiles
    are there to judge. Values are in the order in which they were taken.

    >>> stability([1.0, 1.01] * 20)
    Stability(stable=True, reasons=())
    >>> stability([1.0] * 20 + [1.2] * 20).reasons
    ('the second half is 18.2 % slower than the first, at most 10 % is stable',)
    """
    import numpy as np

    series, count = np.asarray(values, dtype=np.float64), len(values)
    if count < MIN_FOR_STABILITY:
        return Stability(
            stable=False, reasons=(f"{count} runs, at least {MIN_FOR_STABILITY} show whether it is stable",)
        )
    low, median, high = np.percentile(series, [25, 50, 75])
    scale = max(abs(float(median)), math.ulp(0.0))
    spread = float(high - low) / scale
    drift = float(np.median(series[count // 2 :]) - np.median(series[: count // 2])) / scale
    reasons = tuple(filter(None, (_spread_reason(spread), _drift_reason(drift))))
    return Stability(stable=not reasons, reasons=reasons)


def _nearest_rank(count: int, percent: float) -> int:
    return math.ceil(percent * count / 100)


def _spread_reason(spread: float) -> str:
    if spread <= MAX_SPREAD:
        return ""
    limit = f"at most {MAX_SPREAD * 100:.0f} % is stable"
    return f"the middle half of the runs spans {spread * 100:.1f} % of the median, {limit}"


def _drift_reason(drift: float) -> str:
    if abs(drift) <= MAX_DRIFT:
        return ""
    change, limit = "slower" if drift > 0 else "faster", f"at most {MAX_DRIFT * 100:.0f} % is stable"
    return f"the second half is {abs(drift) * 100:.1f} % {change} than the first, {limit}"


def _binomial_window(count: int, share: float) -> tuple[int, list[float]]:
    """P(B = k) for the k around the mean that hold all but about 1e-20 of the mass, and the first such k."""
    reach = math.ceil(10 * math.sqrt(count * share * (1 - share)) + 40)
    first, last = max(0, math.floor(count * share) - reach), min(count, math.ceil(count * share) + reach)
    return first, [math.exp(_log_mass(k, count, share)) for k in range(first, last + 1)]


def _log_mass(k: int, count: int, share: float) -> float:
    ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
    return ways + k * math.log(share) + (count - k) * math.log1p(-share)


def _average_ranks(series: Series) -> Series:
    """Ranks from 1; equal values, which a coarse clock yields, share the middle of theirs."""
    import numpy as np

    _, place, counts = np.unique(series, return_inverse=True, return_counts=True)
    ranks: Series = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _worth(series: Series) -> float:
    """Length of a series over its integrated autocorrelation time."""
    import numpy as np

    count, centred = len(series), series - series.mean()
    power = np.abs(np.fft.rfft(centred, 2 ** math.ceil(math.log2(2 * count)))) ** 2  # padded: lags must not wrap
    covariances = np.fft.irfft(power)[: count - count % 2]
    if count < 4 or covariances[0] <= 1e-12 * count:
        return float(count)
    pairs = covariances.reshape(-1, 2).sum(axis=1) / covariances[0]
    ended = np.flatnonzero(pairs <= 0)
    tau = 2 * float(pairs[: ended[0] if len(ended) else None].sum()) - 1
    return float(min(count, max(1.0, count / tau))) if tau > 0 else float(count)
