import doctest
import math

import numpy as np
import pytest

from edgekd.algorithms import proportions
from edgekd.algorithms.proportions import (
    NORMAL_FROM,
    paired_difference,
    paired_floor,
    student_quantile,
    unskewed,
    wilson,
)


def test_worked_examples() -> None:
    found = doctest.testmod(proportions)
    assert found.failed == 0
    assert found.attempted >= 7


@pytest.mark.parametrize(
    ("successes", "n", "lower", "upper"),
    # roots p of (share - p)^2 = 1.96^2 p (1 - p) / n; the first is 1.96^2 / (n + 1.96^2)
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (15, 148, 0.0624, 0.1605), (500, 1000, 0.4691, 0.5309)],
)
def test_wilson_interval(successes: int, n: int, lower: float, upper: float) -> None:
    found = wilson(successes, n)
    assert found.point == successes / n
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)


def test_wilson_bounds_solve_the_score_equation() -> None:
    found = wilson(37, 60, confidence=0.9)
    for bound in (found.lower, found.upper):
        z = abs(37 / 60 - bound) / math.sqrt(bound * (1 - bound) / 60)
        assert z == pytest.approx(1.6449, abs=1e-4)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= successes"):
        wilson(successes, n)


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),  # tables of Student's t
    [(0.95, 1, 6.3138), (0.95, 2, 2.9200), (0.95, 5, 2.0150), (0.975, 30, 2.0423), (0.995, 9, 3.2498), (0.5, 4, 0.0)],
)
def test_student_quantile_of_the_tables(probability: float, degrees: int, expected: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(expected, abs=2e-4)


def test_student_quantile_joins_the_normal_one() -> None:
    assert student_quantile(0.95, NORMAL_FROM - 1) == pytest.approx(student_quantile(0.95, NORMAL_FROM), rel=1e-4)
    assert student_quantile(0.95, NORMAL_FROM) == pytest.approx(1.64485, abs=1e-5)


def test_paired_floor_by_hand() -> None:
    # Differences -0.5, 0.5, 0.5, 0.5 and the imagined -0.5 and 1: mean 0.25, s = 0.6124, skewness -0.2722; t = 2.0150,
    # t / sqrt(6) = 0.8226. Unskewed: 0.9020 and -0.7614.
    found = paired_floor(np.array([0, 1, 1, 1]), np.array([1, 1, 1, 1]), 0.5)
    mean, lower, upper = found
    assert mean == found.point == 0.25
    assert (lower, upper) == (found.lower, found.upper)
    assert found.lower == pytest.approx(0.25 - 0.6124 * 0.9020, abs=3e-4)
    assert found.upper == pytest.approx(0.25 + 0.6124 * 0.7614, abs=3e-4)


@pytest.mark.parametrize("skewness", [-3.0, -0.5, 1e-9, 0.5, 3.0])
def test_unskewed_solves_its_equation(skewness: float) -> None:
    for y in (-0.5, -0.01, 0.0, 0.2):
        x = unskewed(y, skewness, 40)
        assert x + skewness * x**2 / 3 + skewness**2 * x**3 / 27 + skewness / 240 == pytest.approx(y, abs=1e-9)


def test_paired_floor_uses_the_pairing() -> None:
    reference = np.random.default_rng(1).random(1000)
    same, shuffled = (paired_floor(student, reference, 1.0) for student in (reference.copy(), reference[::-1].copy()))
    assert same.upper - same.lower < 0.3 * (shuffled.upper - shuffled.lower)


def test_agreement_on_a_few_items_proves_nothing() -> None:
    few, many = (paired_floor(np.ones(n), np.ones(n), 0.99) for n in (20, 2000))
    assert few.point == many.point == pytest.approx(0.01)
    assert few.lower < 0 < many.lower


@pytest.mark.parametrize(("n", "ratio", "wrong"), [(50, 0.94, 0.06), (300, 0.99, 0.01), (300, 0.94, 0.06)])
def test_either_bound_is_wrong_in_at_most_5_of_100_cases(n: int, ratio: float, wrong: float) -> None:
    rng, trials = np.random.default_rng(3), 1500
    passed = missed = 0
    for _ in range(trials):  # a student exactly at the floor
        found = paired_floor((rng.random(n) >= wrong).astype(float), np.ones(n), ratio)
        passed += found.lower > 0
        missed += found.upper < 0
    assert passed <= 0.065 * trials  # 5 % and the error of this many trials
    assert missed <= 0.065 * trials


def test_paired_floor_takes_hits_as_booleans_and_scores_out_of_range() -> None:
    hits = np.array([True, False, True, True])
    assert paired_floor(hits, hits, 1.0).point == 0
    wide = paired_floor(np.array([-3.0, 3.0]), np.array([3.0, -3.0]), 1.0)
    assert wide.lower < -5 < 5 < wide.upper


def test_paired_difference_is_two_sided_and_signed() -> None:
    rng = np.random.default_rng(5)
    reference = rng.random(500)
    better = paired_difference(reference * 0.5 + 0.5, reference)
    assert 0 < better.lower < better.point < better.upper
    worse = paired_difference(reference, reference * 0.5 + 0.5)
    assert (worse.lower, worse.upper) == pytest.approx((-better.upper, -better.lower))
    one_sided = paired_floor(reference * 0.5 + 0.5, reference, 1.0)
    assert better.lower < one_sided.lower


@pytest.mark.parametrize(
    ("student", "reference", "text"),
    [
        ([1.0], [1.0], "items >= 2"),
        ([1.0, 0.0], [1.0, 0.0, 1.0], "found scores of shapes"),
        ([[1.0, 0.0]], [[1.0, 0.0]], "found scores of shapes"),
        ([1.0, float("nan")], [1.0, 0.0], "not finite"),
    ],
)
def test_unpaired_scores_are_refused(student: list[float], reference: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        paired_floor(np.array(student), np.array(reference), 0.94)
