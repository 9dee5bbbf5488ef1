"""Bounds of a share and of a mean of paired differences: what quality is judged on."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.floating | np.integer | np.bool_]

NORMAL_FROM = 10_000  # degrees of freedom; Student's 95 % quantile is then within 0.01 % of the normal one


class Bounds(NamedTuple):
    """A share or a mean, and the bounds between which the true one is believed to be."""

    point: float
    lower: float
    upper: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Bounds:
    """Return a share with its two-sided Wilson score interval.

    (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), which holds its confidence near 0 and 1,
    where the textbook interval collapses to a point.
    Source: Wilson 1927; Brown, Cai and DasGupta 2001, https://doi.org/10.1214/ss/1009213286

    >>> interval = wilson(8, 10)
    >>> interval.point, round(interval.lower, 4), round(interval.upper, 4)
    (0.8, 0.4902, 0.9433)

    Raises:
        ValueError: no items, or more successes than items.

    """
    if not 0 <= successes <= n or n < 1 or not 0 < confidence < 1:
        raise ValueError(f"found {successes} of {n} at confidence {confidence}, expected 0 <= successes <= n, n >= 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return Bounds(share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))


def paired_floor(
    student: Scores,
    reference: Scores,
    ratio: float,
    confidence: float = 0.95,
    score_range: tuple[float, float] = (0.0, 1.0),
) -> Bounds:
    """Return the mean of student_i - ratio * reference_i with one-sided Student bounds at ``confidence`` each.

    The floor 'at least ratio of the reference' is met where ``lower`` >= 0 and missed where ``upper`` < 0.
    Both arrays have shape (items,): scores of the same items in the same order, a hit as 1 and a miss as 0.

    With s the standard deviation, the bounds are mean - s g(+-t / sqrt(n)), where t is Student's quantile and g takes
    out the skewness that a rare loss of a whole point brings (:func:`unskewed`). They are made of the differences and
    two imagined ones, the lowest and the highest that ``score_range`` (widened to what was seen) allows.
    Without the two, models that agree on all of a few items would have bounds of no width at all: at a ratio of 0.99
    a student that fails 2 % of the items passes 100 of them, and the floor, every seventh time (0.98 ** 100 = 0.13).
    The same remedy for shares: Agresti and Coull 1998, https://doi.org/10.1080/00031305.1998.10480550
    In simulations exactly at the floor (20 to 2,000 items, ratios 0.8 to 0.99) either bound was on the
    wrong side in at most 5.7 % of the cases; with t alone in up to 20 % at 300 items and 82 % at 20.

    >>> import numpy as np
    >>> floor = paired_floor(np.array([1, 1, 0, 1]), np.array([1, 1, 1, 1]), 0.5)
    >>> floor.point, round(floor.lower, 3), round(floor.upper, 3)
    (0.25, -0.302, 0.716)

    Raises:
        ValueError: different shapes, fewer than 2 items, or a score that isn't finite.

    """
    return _bounds(student, reference, ratio, confidence, score_range)


def paired_difference(
    student: Scores, reference: Scores, confidence: float = 0.95, score_range: tuple[float, float] = (0.0, 1.0)
) -> Bounds:
    """Return the mean of student_i - reference_i with two-sided bounds, made as in :func:`paired_floor`.

    An interval without 0 is a significant difference at 1 - ``confidence``.

    >>> import numpy as np
    >>> paired_difference(np.ones(400), np.zeros(400)).lower > 0.95
    True

    Raises:
        ValueError: different shapes, fewer than 2 items, or a score that isn't finite.

    """
    return _bounds(student, reference, 1.0, (1 + confidence) / 2, score_range)


def paired_ratio(student: Scores, reference: Scores, confidence: float = 0.95) -> Bounds:
    """Return mean(student) / mean(reference) on the same items, with two-sided bounds.

    The bounds are the ratios at which :func:`paired_floor` turns from met to undecided, and from undecided to missed,
    so that a verdict on 'at least r of the reference' and this interval never contradict each other. (Fieller's way:
    the ratios that a test doesn't reject; Fieller 1954, https://doi.org/10.1111/j.2517-6161.1954.tb00159.x)

    >>> import numpy as np
    >>> found = paired_ratio(np.array([1, 1, 0, 1] * 100), np.ones(400))
    >>> found.point, round(found.lower, 2), round(found.upper, 2)
    (0.75, 0.71, 0.79)

    Raises:
        ValueError: as in :func:`paired_floor`; or a reference whose mean is not positive.

    """
    _refuse_unpaired(student, reference)
    if not reference.mean() > 0:
        raise ValueError(f"found a reference of {reference.mean():g}, expected a positive one to take a share of")
    probability, point = (1 + confidence) / 2, float(student.mean() / reference.mean())

    def at(ratio: float) -> Bounds:
        return _bounds(student, reference, ratio, probability, (0.0, 1.0))

    lower = _crossing(lambda ratio: at(ratio).lower >= 0, 0.0, point)
    upper = _crossing(lambda ratio: at(ratio).upper >= 0, point, 2 * point + 2)
    return Bounds(point, lower, upper)


def _crossing(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where ``holds``, true at the low end at most up to a point, turns false."""
    for _ in range(22):  # to a millionth
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


@lru_cache
def student_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t distribution for ``probability`` in [0.5, 1).

    With t = sqrt(degrees) tan(angle) the density is proportional to cos(angle) ** (degrees - 1) on a bounded interval,
    so a sum over a grid inverts it (relative error under 1e-4).

    >>> [round(student_quantile(0.95, degrees), 3) for degrees in (1, 10, 100)]
    [6.314, 1.812, 1.66]
    """
    import numpy as np

    if degrees >= NORMAL_FROM:
        return NormalDist().inv_cdf(probability)
    angles = np.linspace(0, math.pi / 2, 50_001)
    density = np.cos(angles) ** (degrees - 1)
    share = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
    angle = np.interp((2 * probability - 1) * share[-1], share, angles)
    return math.sqrt(degrees) * math.tan(float(angle))


def unskewed(y: float, skewness: float, n: int) -> float:
    """Return the x for which x + c x^2 / 3 + c^2 x^3 / 27 + c / 6n is ``y``, c being the skewness of n values.

    That sum of x = (mean - true mean) / s has the skewness taken out of it, so that Student's quantile fits it.
    Source: Hall 1992, On the Removal of Skewness by Transformation, Journal of the Royal Statistical Society B 54,
    pages 221 to 228.

    >>> unskewed(0.1, 0.0, 50), round(unskewed(0.1, -2.0, 50), 4)
    (0.1, 0.1153)
    """
    if abs(skewness) < 1e-6:  # the limit; the quotient below would lose all its digits
        return y
    inside = 1 + skewness * (y - skewness / (6 * n))
    return 3 / skewness * (math.copysign(abs(inside) ** (1 / 3), inside) - 1)


def _bounds(
    student: Scores, reference: Scores, ratio: float, probability: float, score_range: tuple[float, float]
) -> Bounds:
    import numpy as np

    _refuse_unpaired(student, reference)
    low = min(score_range[0], float(student.min()), float(reference.min()))
    high = max(score_range[1], float(student.max()), float(reference.max()))
    differences = student.astype(np.float64) - ratio * reference.astype(np.float64)
    widened = np.append(differences, (low - ratio * high, high - ratio * low))
    n, spread, middle = len(widened), float(widened.std(ddof=1)), float(widened.mean())
    skewness = float(((widened - middle) ** 3).mean()) / spread**3
    reach, point = student_quantile(probability, n - 1) / math.sqrt(n), float(differences.mean())
    lower, upper = (middle - spread * unskewed(y, skewness, n) for y in (reach, -reach))
    return Bounds(point, min(point, lower), max(point, upper))


def _refuse_unpaired(student: Scores, reference: Scores) -> None:
    import numpy as np

    if student.shape != reference.shape or student.ndim != 1 or len(student) < 2:
        raise ValueError(
            f"found scores of shapes {student.shape} and {reference.shape}, expected (items,) twice, items >= 2"
        )
    if not (np.isfinite(student).all() and np.isfinite(reference).all()):
        raise ValueError("found a score that is not finite")
