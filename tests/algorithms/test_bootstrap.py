import doctest

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from edgekd.algorithms import bootstrap
from edgekd.algorithms.bootstrap import Resampling, difference, interval, mean, ratio_interval
from edgekd.algorithms.classification import macro_f1
from edgekd.algorithms.retrieval import spearman

RNG = np.random.default_rng(0)
SCORES = RNG.exponential(size=300)
OTHERS = 0.8 * SCORES + 0.1 * RNG.exponential(size=300)


def plain_mean(items: np.ndarray) -> float:
    """The same as ``mean``, but one resample at a time."""
    return float(items.mean())


def f1(items: np.ndarray) -> float:
    return macro_f1(items[:, 0], items[:, 1], 3)


def rank_correlation(items: np.ndarray) -> float:
    return spearman(items[:, 0], items[:, 1])


def test_worked_examples() -> None:
    found = doctest.testmod(bootstrap)
    assert found.failed == 0
    assert found.attempted >= 8


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_interval_is_that_of_scipy(confidence: float) -> None:
    found = interval(mean, SCORES, Resampling(confidence, draws=20_000))
    expected = scipy_bootstrap(
        (SCORES,),
        np.mean,
        n_resamples=20_000,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.point == SCORES.mean()
    error = 0.05 * (expected.high - expected.low)  # of 20,000 draws on either side
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=error)


def test_resamples_are_as_many_items_drawn_with_replacement() -> None:
    drawn = []

    def spy(items: np.ndarray) -> float:
        drawn.append(items)
        return 0.0

    interval(spy, np.arange(50), Resampling(draws=200))
    *resamples, itself = drawn
    assert itself.tolist() == list(range(50))
    assert len(resamples) == 200
    assert {len(items) for items in resamples} == {50}
    distinct = np.mean([len(set(items.tolist())) for items in resamples]) / 50
    assert distinct == pytest.approx(1 - (1 - 1 / 50) ** 50, abs=0.02)  # without replacement: 1
    assert set(np.concatenate(resamples).tolist()) == set(range(50))


def test_many_resamples_at_once_give_what_one_at_a_time_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Resampling(seed=3)
    found = difference(mean, SCORES, OTHERS, 0.9, plan)
    assert found == pytest.approx(difference(plain_mean, SCORES, OTHERS, 0.9, plan))
    monkeypatch.setattr(bootstrap, "INDICES_AT_ONCE", 1000)  # 3 resamples of 300 at a time
    assert difference(mean, SCORES, OTHERS, 0.9, plan) == pytest.approx(found)


def test_the_seed_decides() -> None:
    first, again, other = (interval(mean, SCORES, Resampling(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first.point == other.point


def test_a_difference_pairs_its_items() -> None:
    paired, unpaired = difference(mean, OTHERS, SCORES), difference(mean, OTHERS[::-1].copy(), SCORES)
    assert paired.point == unpaired.point == pytest.approx(OTHERS.mean() - SCORES.mean())
    assert paired.upper - paired.lower < 0.5 * (unpaired.upper - unpaired.lower)


def test_a_ratio_weighs_the_second_statistic() -> None:
    found = difference(mean, 0.95 * SCORES, SCORES, ratio=0.9)
    assert found == pytest.approx([0.05 * bound for bound in interval(mean, SCORES)])


def test_the_interval_of_a_share_pairs_its_items() -> None:
    found = ratio_interval(mean, OTHERS, SCORES)
    assert found.point == OTHERS.mean() / SCORES.mean()
    assert found.lower < found.point < found.upper
    spread = interval(mean, SCORES)
    assert found.upper - found.lower < 0.3 * (spread.upper - spread.lower) / SCORES.mean()


def test_items_of_several_columns_stay_together() -> None:
    labels = RNG.integers(0, 3, 200)
    teacher, student = (np.where(RNG.random(200) < share, labels, 0) for share in (0.95, 0.6))
    first, second = (np.stack([predicted, labels], axis=1) for predicted in (student, teacher))
    found = difference(f1, first, second, plan=Resampling(draws=300))
    assert found.point == f1(first) - f1(second)
    assert found.lower < found.point < found.upper < -0.1
    given = RNG.normal(size=200)
    scores = np.stack([given + 0.5 * RNG.normal(size=200), given], axis=1)
    found = interval(rank_correlation, scores, Resampling(draws=300))
    assert 0.75 < found.lower < found.point == rank_correlation(scores) < found.upper < 0.95


def test_either_bound_is_wrong_in_about_5_of_100_cases() -> None:
    rng, trials = np.random.default_rng(2), 600
    too_high = too_low = 0
    for seed in range(trials):
        base = rng.exponential(size=150)
        student, teacher = base + rng.exponential(size=150), base + rng.exponential(size=150)
        found = difference(mean, student, teacher, plan=Resampling(0.9, 300, seed))
        too_high += found.lower > 0
        too_low += found.upper < 0
    assert 0.025 * trials <= too_high <= 0.08 * trials  # 5 % and the error of this many trials
    assert 0.025 * trials <= too_low <= 0.08 * trials


def test_the_point_is_never_outside() -> None:
    biased = interval(lambda items: float(len(np.unique(items))), np.arange(40.0))  # no resample has 40 distinct items
    assert biased.upper == biased.point == 40
    assert biased.lower < 30


@pytest.mark.parametrize("function", [difference, ratio_interval])
def test_unpaired_items_are_refused(function) -> None:
    with pytest.raises(ValueError, match="found 3 and 2 items"):
        function(mean, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="found 1 items"):
        function(mean, np.ones(1), np.ones(1))


def test_a_statistic_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite on some of 100 resamples of 2 items"):
        interval(mean, np.array([1.0, np.nan]), Resampling(draws=100))


@pytest.mark.parametrize("reference", [0.0, -1.0])
def test_a_share_of_nothing_is_refused(reference: float) -> None:
    with pytest.raises(ValueError, match=f"found a reference of {reference:g}, expected a positive one"):
        ratio_interval(mean, np.ones(5), np.full(5, reference))


@pytest.mark.parametrize("plan", [{"confidence": 1.0}, {"confidence": 0.0}, {"draws": 99}])
def test_a_plan_out_of_range_is_refused(plan: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a confidence between 0 and 1 and at least 100 draws"):
        Resampling(**plan)
