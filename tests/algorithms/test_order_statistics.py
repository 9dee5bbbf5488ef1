import doctest
from statistics import NormalDist

import numpy as np
import pytest

from edgekd.algorithms import order_statistics
from edgekd.algorithms.order_statistics import (
    MAX_DRIFT,
    MAX_SPREAD,
    MIN_FOR_STABILITY,
    PercentileBounds,
    effective_sample_size,
    needed_for_upper,
    percentile,
    percentile_bounds,
    rank_bounds,
    stability,
)


def autoregressive(count: int, carried: float, seed: int) -> list[float]:
    noise = np.random.default_rng(seed).standard_normal(count) * (1 - carried**2) ** 0.5
    series = [float(noise[0])]
    for fresh in noise[1:]:
        series.append(carried * series[-1] + float(fresh))
    return series


def test_worked_examples() -> None:
    found = doctest.testmod(order_statistics)
    assert found.failed == 0
    assert found.attempted >= 9


def test_percentile_is_an_observed_value_that_covers_the_share() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (0.1, 50, 95, 99, 99.1, 100)] == [1, 50, 95, 99, 100, 100]
    assert percentile([3.0, 1.0], 50) == 1.0
    assert percentile([3.0, 1.0], 51) == 3.0


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_percentile_refuses_nothing_and_shares_out_of_range(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        percentile(values, percent)


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [
        (1024, 50, (475, 550)),
        (1024, 90, (899, 944)),
        (1024, 95, (956, 989)),
        (1024, 99, (1006, 1021)),
        (6, 50, (None, None)),
        (7, 50, (1, 7)),
        (43, 90, (34, None)),
        (44, 90, (34, 44)),
        (89, 95, (79, None)),
        (90, 95, (80, 90)),
        (458, 99, (448, None)),
        (459, 99, (449, 459)),
        (1, 95, (None, None)),
    ],
)
def test_rank_bounds_of_the_binomial(count: int, percent: float, expected: tuple[int | None, int | None]) -> None:
    assert rank_bounds(count, percent) == expected


def test_rank_bounds_hold_their_confidence_and_no_rank_nearer_does() -> None:
    count, share = 200, 0.9
    masses = np.array([1.0])
    for _ in range(count):  # the binomial by adding one trial at a time
        masses = np.convolve(masses, [1 - share, share])
    lower, upper = rank_bounds(count, 90)
    assert lower is not None
    assert upper is not None
    assert masses[:lower].sum() <= 0.01 < masses[: lower + 1].sum()
    assert masses[upper:].sum() <= 0.01 < masses[upper - 1 :].sum()


def test_rank_bounds_are_symmetric_and_narrow_with_the_count() -> None:
    lower, upper = rank_bounds(1000, 50)
    assert lower is not None
    assert upper == 1001 - lower
    far = rank_bounds(1_000_000, 50)
    assert far == (498_837, 501_164)  # 500,000 -+ 2.326 * 500


def test_rank_bounds_widen_with_the_confidence() -> None:
    assert rank_bounds(1024, 95, 0.95) == (961, 985)
    assert rank_bounds(1024, 95, 0.999) == (950, 994)


@pytest.mark.parametrize(("count", "percent", "confidence"), [(0, 50, 0.99), (9, 0, 0.99), (9, 100, 0.99), (9, 50, 1)])
def test_rank_bounds_refuse_the_ends(count: int, percent: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="none can be at or past an end"):
        rank_bounds(count, percent, confidence)


def test_needed_agrees_with_the_first_count_that_has_an_upper_rank() -> None:
    for percent in (50, 90, 95, 99):
        needed = needed_for_upper(percent)
        assert rank_bounds(needed, percent)[1] == needed
        assert rank_bounds(needed - 1, percent)[1] is None


def test_bounds_are_values_at_those_ranks_whatever_the_order() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1, 1025)).astype(float).tolist()
    assert percentile_bounds(values, 99, 1024) == PercentileBounds(point=1014, lower=1006, upper=1021, needed=459)
    assert percentile_bounds(values, 99, 99_999) == percentile_bounds(values, 99, 1024)


def test_fewer_effective_samples_widen_the_bounds_outwards() -> None:
    values = [float(value) for value in range(1, 1025)]
    assert rank_bounds(512, 90) == (444, 477)
    assert percentile_bounds(values, 90, 512.9) == PercentileBounds(point=922, lower=887, upper=954, needed=44)


def test_no_upper_claim_with_too_few_effective_samples() -> None:
    bounds = percentile_bounds([float(value) for value in range(1, 1025)], 99, 458)
    assert bounds.upper is None
    assert bounds.lower is not None
    assert percentile_bounds([1.0, 2.0], 95, 0.2) == PercentileBounds(point=2.0, lower=None, upper=None, needed=90)


def test_upper_bound_covers_the_percentile_98_times_in_100() -> None:
    rng, covered, trials = np.random.default_rng(7), {50: 0, 90: 0, 95: 0}, 800
    for _ in range(trials):
        values = rng.standard_normal(300).tolist()
        for percent in covered:
            upper = percentile_bounds(values, percent, 300).upper
            assert upper is not None
            covered[percent] += upper >= NormalDist().inv_cdf(percent / 100)
    assert all(0.98 * trials <= hits < trials for hits in covered.values()), covered


def test_bounds_of_correlated_samples_cover_only_with_the_effective_count() -> None:
    naive = effective = 0
    for seed in range(60):
        values = autoregressive(600, 0.9, seed)
        naive += (percentile_bounds(values, 50, len(values)).upper or 9) >= 0
        effective += (percentile_bounds(values, 50, effective_sample_size(values)).upper or 9) >= 0
    assert effective >= 58
    assert naive <= 52


def test_a_percentile_needs_only_its_own_independence() -> None:
    covered, trials = 0, 60
    for seed in range(trials):
        values = autoregressive(3_000, 0.9, seed)
        own = effective_sample_size(values, 95)
        assert own > 1.2 * effective_sample_size(values)
        bounds = percentile_bounds(values, 95, own)
        assert bounds.upper is not None
        covered += bounds.upper >= NormalDist().inv_cdf(0.95)
    assert covered >= 0.98 * trials - 1


def test_effective_sample_size_of_known_processes() -> None:
    # tau of an autoregressive process is (1 + carried) / (1 - carried): 3 and 19; ranks differ from it by a few percent
    assert effective_sample_size(autoregressive(20_000, 0.5, 1)) == pytest.approx(20_000 / 3, rel=0.15)
    assert effective_sample_size(autoregressive(20_000, 0.9, 2)) == pytest.approx(20_000 / 19, rel=0.2)
    assert effective_sample_size(np.random.default_rng(3).standard_normal(20_000).tolist()) > 18_000


def test_effective_sample_size_stays_between_one_and_the_count() -> None:
    assert effective_sample_size([2.5] * 100) == 100
    assert effective_sample_size([1.0, 9.0] * 50) == 100  # alternating: worth more, counted as no more
    assert effective_sample_size([4.0]) == 1
    assert 1 <= effective_sample_size([float(value) for value in range(500)]) < 5
    with pytest.raises(ValueError, match="no values"):
        effective_sample_size([])


def test_one_outlier_does_not_hide_correlation() -> None:
    values = autoregressive(2_000, 0.9, 4)
    assert effective_sample_size([*values[:1000], 1e9, *values[1000:]]) < 300


def test_bursts_of_slow_runs_count_against_the_percentile_that_they_decide() -> None:
    values = np.random.default_rng(5).standard_normal(2_000)
    for start in range(0, 2_000, 500):
        values[start : start + 25] += 1_000  # 5 % slow runs, in four bursts
    series = values.tolist()
    assert effective_sample_size(series, 95) < 0.25 * effective_sample_size(series)
    assert effective_sample_size(series, 50) > 0.5 * effective_sample_size(series)


def test_stability_has_a_limit_for_spread() -> None:
    wide, narrow = 1 + MAX_SPREAD * 1.1, 1 + MAX_SPREAD * 0.9
    assert not stability([1.0, 1.0, 1.0, wide, wide] * 10).stable
    assert "27.5 % of the median" in stability([1.0, 1.0, 1.0, wide, wide] * 10).reasons[0]
    assert stability([1.0, 1.0, 1.0, narrow, narrow] * 10).stable


@pytest.mark.parametrize(("later", "word"), [(1 + 2 * MAX_DRIFT, "slower"), (1 - 2 * MAX_DRIFT, "faster")])
def test_stability_has_a_limit_for_drift_either_way(later: float, word: str) -> None:
    found = stability([1.0] * 50 + [later] * 50)
    assert not found.stable
    assert any(word in reason and "at most 10 % is stable" in reason for reason in found.reasons)
    assert stability([1.0] * 50 + [1 + MAX_DRIFT / 2] * 50).stable


def test_stability_forgives_outliers_but_not_too_few_runs() -> None:
    assert stability([1.0] * 95 + [1000.0] * 5).stable
    assert stability([0.0] * 50).stable
    few = stability([1.0] * (MIN_FOR_STABILITY - 1))
    assert not few.stable
    assert few.reasons == ("15 runs, at least 16 show whether it is stable",)


def quiet(count: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """A machine that does nothing else: lognormal noise of 1 %, and one run in a hundred 2 to 20 times as long."""
    rng = np.random.default_rng(seed)
    spikes = np.where(rng.random(count) < 0.01, rng.uniform(2, 20, count), 1.0)
    return np.exp(0.01 * rng.standard_normal(count)) * spikes  # type: ignore[no-any-return]


def called_stable(sessions: list[np.ndarray]) -> float:  # type: ignore[type-arg]
    return float(np.mean([stability(each.tolist()).stable for each in sessions]))


@pytest.mark.parametrize("count", [MIN_FOR_STABILITY, 64, 1024, 20_000])
def test_a_quiet_machine_is_called_stable_however_short_the_session(count: int) -> None:
    assert called_stable([quiet(count, seed) for seed in range(100)]) >= 0.95


@pytest.mark.parametrize("slow", [0.35, 0.5, 0.65])
def test_two_speeds_in_one_session_are_called_unstable(slow: float) -> None:
    """As of two kinds of cores, or a core that is shared for some of the time: 0.95 and 1.39."""
    seeds = range(100)
    speeds = [np.where(np.random.default_rng(1000 + seed).random(1024) < slow, 1.39, 0.95) for seed in seeds]
    assert called_stable([quiet(1024, seed) * each for seed, each in zip(seeds, speeds, strict=True)]) <= 0.05
    changed = np.where(np.arange(1024) < 1024 * slow, 1.39, 0.95)  # once, from the one to the other
    assert called_stable([quiet(1024, seed) * changed for seed in seeds]) <= 0.05


def test_a_step_beyond_the_limit_on_drift_is_called_unstable_in_noise_too() -> None:
    later = np.where(np.arange(1024) < 512, 1.0, 1.0 + 1.3 * MAX_DRIFT)
    assert called_stable([quiet(1024, seed) * later for seed in range(100)]) <= 0.05
