"""Ranges for 8-bit tensors out of values that pass by once: a streamed histogram, and four ways to read it.

They are for affine quantization, x = step * (whole - zero_point) with step = (high - low) / 255, in the tensor's units,
and hold zero, which padding writes and kernels need exact (Jacob et al. 2018, https://arxiv.org/abs/1712.05877).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 2048
STEPS = 255  # between the 256 levels of 8 bits
FEWEST = STEPS + 1  # bins of a range in which 'entropy' sees what is lost by levels
FINEST = -1100  # an exponent below that of any double: until there is a value that isn't zero, no width is too small
SMOOTHING = 1e-4  # of MXNet's calibration: keeps a divergence finite where values were clipped onto an empty level
SEARCHED = 128  # ranges that 'entropy' tries at a time: a step of at most 0.7 % of the range

Range = tuple[float, float]
Bins = tuple[int, int]  # a range as the edges at which it begins and ends
Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Histograms = dict[str, "Histogram"]  # by the tensor's name


class Histogram:
    """How often a tensor's values lay in each of 2,048 bins; its memory doesn't grow with the values.

    Bin k has the values from (``first`` + k) * 2 ** ``exponent`` up to the next bin: the least power of two with which
    zero, always an edge, and all values fit. When a value falls outside, neighbours are merged until it fits: two bins
    of a width are one of the next, so counts stay exact, and depend on neither the order of the values nor how they
    were cut into chunks. ``minimum`` and ``maximum`` are exact; ``zeros`` counts values that are just zero.

    >>> seen = Histogram()
    >>> seen.add(np.array([[0.5, 1.0], [0.0, -0.25]]))
    >>> seen.minimum, seen.maximum, int(seen.counts.sum()), seen.zeros, seen.exponent
    (-0.25, 1.0, 4, 1, -10)
    >>> seen.add(np.array([3.0]))
    >>> seen.maximum, int(seen.counts.sum()), seen.exponent
    (3.0, 5, -9)
    """

    __slots__ = ("counts", "exponent", "first", "maximum", "minimum", "zeros")

    def __init__(self) -> None:
        self.counts: Whole = np.zeros(BINS, np.int64)
        self.exponent, self.first, self.zeros = FINEST, 0, 0
        self.minimum, self.maximum = math.inf, -math.inf

    @property
    def low(self) -> float:
        """The least value, or zero."""
        return min(0.0, self.minimum)

    @property
    def high(self) -> float:
        """The greatest value, or zero."""
        return max(0.0, self.maximum)

    @property
    def edges(self) -> Floats:
        """Where bins begin and end, (2049,), rising; no bin reaches beyond ``low`` and ``high``."""
        edges: Floats = np.ldexp(np.arange(BINS + 1) + float(self.first), self.exponent)
        return edges.clip(self.low, self.high)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count ``values``, of any shape.

        Raises:
            ValueError: a value that is infinite or not a number: no range can hold it.

        """
        flat = np.asarray(values, np.float64).ravel()  # in double precision, nothing is lost by the scaling below
        minimum, maximum = float(flat.min(initial=self.minimum)), float(flat.max(initial=self.maximum))
        if flat.size and not math.isfinite(maximum - minimum):
            raise ValueError(f"found values from {minimum} to {maximum}, expected finite ones")
        self.hold(minimum, maximum)
        places = np.floor(np.ldexp(flat, -self.exponent)) - self.first
        self.counts += np.bincount(places.astype(np.int64), minlength=BINS)
        self.zeros += int(flat.size - np.count_nonzero(flat))

    def hold(self, minimum: float, maximum: float) -> None:
        """Take these extremes, and merge bins until both fit."""
        self.minimum, self.maximum = minimum, maximum
        exponent = _exponent(self.low, self.high)
        first = math.floor(math.ldexp(self.low, -exponent))
        if (exponent, first) != (self.exponent, self.first):
            self.counts = self.regrouped(exponent, first)
            self.exponent, self.first = exponent, first

    def regrouped(self, exponent: int, first: int) -> Whole:
        """Counts for bins that are as wide or wider."""
        filled = np.flatnonzero(self.counts)
        places = ((filled + self.first) >> min(exponent - self.exponent, 62)) - first  # beyond 62, all are one bin
        return np.bincount(places, self.counts[filled], BINS).astype(np.int64)


def merged(first: Histogram, second: Histogram) -> Histogram:
    """Return the histogram of both ones' values, exactly as if one had seen them all.

    >>> left, right = Histogram(), Histogram()
    >>> left.add(np.array([-1.0, 0.0]))
    >>> right.add(np.array([3.0]))
    >>> both = merged(left, right)
    >>> both.minimum, both.maximum, both.zeros
    (-1.0, 3.0, 1)
    """
    both = Histogram()
    both.hold(min(first.minimum, second.minimum), max(first.maximum, second.maximum))
    both.counts = sum((each.regrouped(both.exponent, both.first) for each in (first, second)), both.counts)
    both.zeros = first.zeros + second.zeros
    return both


def halves(names: Iterable[str], rows: Iterable[Mapping[str, npt.NDArray[Any]]]) -> tuple[Histograms, Histograms]:
    """Return what the tensors ``names`` held in the even and in the odd ``rows``; each row is dropped before the next.

    >>> even, odd = halves(["x"], ({"x": np.array([row, 5.0])} for row in range(4)))
    >>> even["x"].maximum, even["x"].minimum, odd["x"].minimum
    (5.0, 0.0, 1.0)

    Raises:
        ValueError: a value that is not finite, with its tensor and row.

    """
    even, odd = ({name: Histogram() for name in sorted(names)} for _ in range(2))
    for number, row in enumerate(rows):
        for name, values in row.items():
            try:
                (odd if number % 2 else even)[name].add(values)
            except ValueError as error:
                raise ValueError(f"the tensor {name!r} in row {number}: {error}") from error
    return even, odd


def disagreement(first: Histogram, second: Histogram) -> float:
    """Return how far the extremes of two halves of a calibration set lie apart, from 0 to 1.

    max(|low1 - low2|, |high1 - high2|) / (max(high1, high2) - min(low1, low2)); 0 if both saw only zeros. Where it is
    large, a few rows decide the range, and other rows would have given another one.

    >>> calm, wild = Histogram(), Histogram()
    >>> calm.add(np.array([-1.0, 2.0]))
    >>> wild.add(np.array([-1.0, 9.0]))
    >>> disagreement(calm, wild), disagreement(calm, calm)
    (0.7, 0.0)
    """
    joint = max(first.high, second.high) - min(first.low, second.low)
    apart = max(abs(first.low - second.low), abs(first.high - second.high))
    return apart / joint if joint > 0 else 0.0


def min_max(histogram: Histogram) -> Range:
    """Return the exact extremes: nothing is clipped, and one outlier sets everyone's step.

    >>> seen = Histogram()
    >>> seen.add(np.append(np.linspace(-1, 1, 10001), 40.0))
    >>> min_max(seen)
    (-1.0, 40.0)
    """
    return histogram.low, histogram.high


def percentile(histogram: Histogram, percent: float = 99.99) -> Range:
    """Return the range that leaves out (100 - ``percent``) / 2 percent of the values at each end.

    Inside a bin, values are taken to lie evenly. Zero stays in the range, also where that leaves out fewer.
    Source: Wu et al. 2020, Integer Quantization for Deep Learning Inference, section 4, https://arxiv.org/abs/2004.09602

    >>> seen = Histogram()
    >>> seen.add(np.append(np.linspace(-1, 1, 99999), 40.0))
    >>> [round(end, 3) for end in percentile(seen, 99.99)]
    [-1.0, 1.0]

    Raises:
        ValueError: a percentage outside (0, 100].

    """
    if not 0 < percent <= 100:
        raise ValueError(f"found percent {percent}, expected (0, 100]")
    below = np.append(0, np.cumsum(histogram.counts)).astype(np.float64)
    left_out, edges = (100 - percent) / 200 * below[-1], histogram.edges
    low = float(np.interp(left_out, below, edges))
    high = float(np.interp(left_out, (below[-1] - below)[::-1], edges[::-1]))  # the same from the other end
    return min(0.0, low), max(0.0, high)


def mse(histogram: Histogram) -> Range:
    """Return the range with the least expected squared error of all that end at edges of bins, both ends freely.

    Of a range [a, b] the error, summed over the values, is

        (b - a)^2 / (12 * 255^2) * (values inside) + sum over x > b of (x - b)^2 + sum over x < a of (a - x)^2

    Rounding errors inside are taken to be even over a step (hence the 12), values to lie even in their bin. Exact
    zeros stay exact in every range and don't count.
    Source: Banner et al. 2019, Post training 4-bit quantization (ACIQ), section 3, https://arxiv.org/abs/1810.05723

    >>> seen = Histogram()
    >>> seen.add(np.append(np.linspace(-1, 1, 1000001), 3.0))
    >>> [round(end, 2) for end in mse(seen)]  # clipping costs 4; rounding with a wider step would cost 15 more
    [-1.0, 1.0]
    """
    counts, edges = _without_zeros(histogram), histogram.edges
    lows, below, cost_below = _clipped(counts, edges)
    mirrored, above, cost_above = _clipped(counts[::-1], -edges[::-1])
    left, right = lows <= 0, mirrored <= 0
    inside = counts.sum() - below[left][:, None] - above[right]
    steps = (-lows[left][:, None] - mirrored[right]) / STEPS
    error = steps**2 / 12 * inside + cost_below[left][:, None] + cost_above[right]
    row, column = np.unravel_index(np.argmin(error), error.shape)  # of equal ones the first, which is the widest
    return float(lows[left][row]), -float(mirrored[right][column])


def entropy(histogram: Histogram) -> Range:
    """Return the range whose 256 levels keep most of the distribution: the least KL divergence sum p ln(p / q).

    p has the counts of the bins inside, those outside added to the bins at the ends; in q the counts inside are summed
    over each level of the quantizer and shared out again among the level's bins that are not empty in p, those outside
    are left out. Ranges have at least 256 bins: with fewer, every bin has a level of its own.
    Source: Migacz 2017, 8-bit Inference with TensorRT, GTC, session S7310, slide "Entropy Calibration - pseudocode".

    That is for symmetric ranges of |x|. Here levels lie where an affine quantizer has them, so that a tensor after a
    ReLU has all 256 above zero, and both ends are searched: first together, in proportion, then each alone. Zeros are
    left out: any range keeps them exact, and a ReLU's many, shared out over their level, would favour the shortest.

    >>> seen = Histogram()
    >>> seen.add(np.append(np.linspace(0, 1, 1000001), 6.0))
    >>> [round(end, 2) for end in entropy(seen)]
    [0.0, 1.0]
    """
    counts, zero = _without_zeros(histogram), -histogram.first
    if not counts.any():
        return min_max(histogram)
    used = math.floor(math.ldexp(histogram.high, -histogram.exponent)) - histogram.first + 1
    cost, edges = partial(_divergence, counts), histogram.edges
    start, end = min(_together(zero, used), key=cost)
    start, end = min([(start, end), *((start, each) for each in _spread(max(zero, start + FEWEST), used))], key=cost)
    start, end = min([(start, end), *((each, end) for each in _spread(0, min(zero, end - FEWEST)))], key=cost)
    return float(edges[start]), float(edges[end])


Method = Callable[[Histogram], Range]
METHODS: dict[str, Method] = {"min-max": min_max, "percentile": percentile, "entropy": entropy, "mse": mse}


def _exponent(low: float, high: float) -> int:
    """Of the least power of two in whose multiples [low, high] takes at most 2,048 bins."""
    if low == high:
        return FINEST
    exponent = math.frexp((high - low) / BINS)[1] - 1
    while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= BINS:
        exponent += 1
    return exponent


def _without_zeros(histogram: Histogram) -> Whole:
    counts = histogram.counts.copy()
    counts[-histogram.first] -= histogram.zeros
    return counts


def _clipped(counts: Whole, edges: Floats) -> tuple[Floats, Floats, Floats]:
    """For each edge: where it is, how many values lie below it, and their summed squared distance from it."""
    middle, variance = (edges[1:] + edges[:-1]) / 2, np.diff(edges) ** 2 / 12
    moments = (1.0, middle, middle**2 + variance)
    number, first, second = (np.append(0.0, np.cumsum(counts * moment)) for moment in moments)
    return edges, number, second - 2 * edges * first + edges**2 * number


def _together(zero: int, used: int) -> list[Bins]:
    """Ranges of bins from the whole to the shortest, both ends at the same share of the way to zero."""
    shares = np.linspace(1.0, FEWEST / used, SEARCHED)
    ends = [(zero - round(zero * share), zero + math.ceil((used - zero) * share)) for share in shares]
    return [(start, end) for start, end in ends if end - start >= FEWEST]


def _spread(first: int, last: int) -> Iterable[int]:
    return map(int, np.unique(np.linspace(first, last, SEARCHED).round()) if first < last else ())


def _divergence(counts: Whole, bins: Bins) -> float:
    start, end = bins
    inside = counts[start:end].astype(np.float64)
    if not inside.any():
        return math.inf
    real = inside.copy()
    real[0] += counts[:start].sum()
    real[-1] += counts[end:].sum()
    levels = np.rint((np.arange(end - start) + 0.5) * STEPS / (end - start)).astype(np.int64)
    filled = real > 0
    shares = np.bincount(levels, inside) / np.maximum(np.bincount(levels, filled), 1)
    p, q = real[filled] / real.sum(), shares[levels[filled]] / inside.sum()
    return float((p * np.log(p / ((1 - SMOOTHING) * q + SMOOTHING / len(q)))).sum())
