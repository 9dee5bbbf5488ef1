"""Streamed histograms against all values at once, and ranges against published optima and against quantizing itself."""

from __future__ import annotations

import itertools
from statistics import NormalDist

import numpy as np
import pytest

from edgekd.algorithms.ranges import BINS, METHODS, Histogram, disagreement, entropy, merged, min_max, mse, percentile

GENERATOR = np.random.default_rng(0)
EVEN = (np.arange(200_000) + 0.5) / 200_000
LAPLACE = np.where(EVEN < 0.5, np.log(2 * np.minimum(EVEN, 0.5)), -np.log(2 * np.minimum(1 - EVEN, 0.5)))
NORMAL = np.array([NormalDist().inv_cdf(share) for share in EVEN[::4]])
# Normal, but one of 200,000 lies 8 times as far out as any other: the bulk still has more than 255 bins
OUTLIER = np.append(np.tile(NORMAL, 4), 35.0)


def histogram(*chunks: np.ndarray) -> Histogram:
    made = Histogram()
    for chunk in chunks:
        made.add(chunk)
    return made


def state(each: Histogram) -> tuple[object, ...]:
    return each.counts.tolist(), each.exponent, each.first, each.minimum, each.maximum, each.zeros


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    """Mean, of real affine 8-bit quantization."""
    step = (high - low) / 255
    whole = np.clip(np.rint(values / step), round(low / step), round(low / step) + 255)
    return float(((whole * step - values) ** 2).mean())


@pytest.mark.parametrize("scale", [1e-30, 1.0, 7e20])
@pytest.mark.parametrize("shift", [0.0, -3.0, 1000.0])
def test_chunks_and_their_order_make_no_difference(scale: float, shift: float) -> None:
    values = (np.exp(GENERATOR.normal(size=5000) * 3) * GENERATOR.choice([-1, 1], 5000) + shift) * scale
    values = values.astype(np.float32)
    whole = state(histogram(values))
    assert whole == state(histogram(*np.array_split(values, 37)))
    assert whole == state(histogram(*np.array_split(np.sort(values), 11)))
    assert whole == state(histogram(*np.array_split(np.sort(np.abs(values))[:0], 1), values[::-1]))


def test_counts_are_those_of_numpy() -> None:
    seen = histogram(*np.array_split(LAPLACE, 7))
    whole = (np.arange(BINS + 1) + seen.first) * 2.0**seen.exponent
    assert np.array_equal(seen.counts, np.histogram(LAPLACE, whole)[0])
    assert (seen.minimum, seen.maximum, seen.counts.sum()) == (LAPLACE.min(), LAPLACE.max(), len(LAPLACE))


def test_the_width_doubles_and_the_size_stays() -> None:
    seen, widths = Histogram(), []
    for power in range(12):
        seen.add(np.full(10, 1.5 * 2.0**power))
        widths.append(2.0**seen.exponent)
        assert seen.counts.shape == (BINS,)
    assert [after / before for before, after in itertools.pairwise(widths)] == [2.0] * 11
    assert seen.counts.sum() == 120


def test_at_least_half_of_the_bins_are_in_use() -> None:
    for low, high in ((-1, 1), (0, 1), (-3, 1e-3), (0.1, 1023), (-1e9, 7)):
        seen = histogram(np.array([low, high]))
        assert (seen.high - seen.low) / 2.0**seen.exponent > BINS / 2 - 1


def test_merged_halves_are_the_whole() -> None:
    values = GENERATOR.normal(size=4000) * np.linspace(0.01, 5, 4000)
    values[::7] = 0
    halves = histogram(values[::2]), histogram(values[1::2])
    assert state(merged(*halves)) == state(merged(*reversed(halves))) == state(histogram(values))
    assert state(merged(histogram(values), Histogram())) == state(histogram(values))


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_values_that_no_range_holds_are_refused(strange: float) -> None:
    seen = histogram(np.ones(3))
    with pytest.raises(ValueError, match="expected finite ones"):
        seen.add(np.array([0.0, strange, 1.0]))
    assert seen.counts.sum() == 3


@pytest.mark.parametrize("method", METHODS.values())
def test_ranges_hold_zero_and_stay_inside_the_extremes(method: object) -> None:
    assert callable(method)
    for values in (LAPLACE, np.abs(NORMAL), -np.abs(NORMAL), NORMAL + 100, NORMAL - 100, np.array([5.0]), OUTLIER):
        low, high = method(histogram(values))
        assert min(values.min(), 0) <= low <= 0 <= high <= max(values.max(), 0)
        assert low < high


@pytest.mark.parametrize("method", METHODS.values())
def test_nothing_but_zeros_has_an_empty_range(method: object) -> None:
    assert callable(method)
    assert method(Histogram()) == method(histogram(np.zeros(9))) == (0.0, 0.0)


def test_one_outlier_is_clipped_by_all_but_min_max() -> None:
    seen = histogram(OUTLIER)
    assert min_max(seen) == (OUTLIER.min(), 35.0)
    assert percentile(seen)[1] < 4.5
    assert entropy(seen)[1] < 5.5
    assert mse(seen)[1] < 34  # a step for all against the square of one distance: with fewer values it may pay
    assert mse(histogram(np.tile(NORMAL, 20), np.array([35.0])))[1] < mse(seen)[1]


def test_percentiles_are_those_of_the_values() -> None:
    for values, percent in ((LAPLACE, 99.9), (np.abs(LAPLACE), 99.0), (NORMAL, 80.0)):
        seen = histogram(values)
        expected = np.percentile(values, [(100 - percent) / 2, (100 + percent) / 2])
        low, high = percentile(seen, percent)
        assert high == pytest.approx(expected[1], abs=2.0**seen.exponent)
        assert low == pytest.approx(min(0.0, expected[0]), abs=2.0**seen.exponent)
    assert percentile(seen, 100) == min_max(seen)
    with pytest.raises(ValueError, match="expected"):
        percentile(seen, 0)


@pytest.mark.parametrize(("values", "published"), [(LAPLACE, 9.89), (NORMAL, 3.92)])
def test_the_squared_error_is_least_where_it_was_published_to_be(values: np.ndarray, published: float) -> None:
    """ACIQ gives the best symmetric ends for 8 bits as multiples of Laplace's b and of the normal sigma."""
    low, high = mse(histogram(values))
    assert (high - low) / 2 == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("values", [LAPLACE, np.abs(LAPLACE), np.maximum(NORMAL, 0), np.append(NORMAL, 30.0)])
def test_no_other_range_has_less_squared_error_when_really_quantized(values: np.ndarray) -> None:
    seen = histogram(values)
    found = squared_error(values, *mse(seen))
    shares = np.linspace(0.3, 1, 8)
    others = [squared_error(values, seen.low * left, seen.high * right) for left in shares for right in shares]
    assert found <= min(others) * 1.01
    assert found <= squared_error(values, *entropy(seen)) * 1.01


def test_one_sided_tensors_keep_all_levels_on_their_side() -> None:
    """Two thirds of a ReLU's outputs can be zero: they are exact anyway, and must not pull the range in."""
    positive = np.abs(LAPLACE)
    seen, with_zeros = histogram(positive), histogram(positive, np.zeros(2 * len(positive)))
    assert entropy(seen)[0] == 0
    assert entropy(with_zeros) == entropy(seen)
    assert mse(with_zeros) == mse(seen)
    assert 8 < entropy(seen)[1] < positive.max()


def test_mirrored_values_have_mirrored_ranges() -> None:
    values = np.concatenate([LAPLACE[LAPLACE < 0] / 3, LAPLACE[LAPLACE > 0]])
    for name, method in METHODS.items():
        (low, high), (other_low, other_high) = method(histogram(values)), method(histogram(-values))
        near = 0.1 if name == "entropy" else 0.01  # it searches one end after the other
        assert low == pytest.approx(-other_high, rel=near)
        assert high == pytest.approx(-other_low, rel=near)


def test_disagreement_is_the_larger_difference_over_the_joint_range() -> None:
    first, second = histogram(np.array([-2.0, 6.0])), histogram(np.array([-1.0, 8.0]))
    assert disagreement(first, second) == disagreement(second, first) == 0.2
    assert disagreement(histogram(np.array([3.0])), histogram(np.array([4.0]))) == 0.25  # from zero
    assert disagreement(Histogram(), histogram(np.zeros(2))) == 0.0
