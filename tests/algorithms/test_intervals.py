"""Bounds are added, multiplied and combined as the docstrings say."""

from __future__ import annotations

import doctest
import math

import pytest

from edgekd.algorithms import intervals
from edgekd.algorithms.intervals import ONE, Bounds, add, ascending, combine, exact, hull, multiply


def test_examples_in_docstrings() -> None:
    outcome = doctest.testmod(intervals)
    assert outcome.failed == 0
    assert outcome.attempted >= 5


def test_sums_add_every_side() -> None:
    assert add([Bounds(2, 1, 3), exact(10)]) == (12, 11, 13)


def test_products_of_dependent_quantities_multiply_the_extremes() -> None:
    assert multiply(Bounds(2, 1, 4), Bounds(5, 4, 10)) == (10, 4, 40)


def test_independent_factors_combine_in_quadrature_of_logs() -> None:
    both = combine([Bounds(1, 0.5, 2), Bounds(1, 0.5, 4)])
    assert both.lower == pytest.approx(math.exp(-math.hypot(math.log(2), math.log(2))))
    assert both.upper == pytest.approx(math.exp(math.hypot(math.log(2), math.log(4))))
    assert both.lower > 0.25
    assert both.upper < 8


def test_combining_scales_the_point_and_keeps_the_ratios() -> None:
    scaled = combine([exact(3), Bounds(2, 1, 8)])
    assert scaled == pytest.approx((6, 3, 24))


def test_an_exact_factor_changes_nothing() -> None:
    assert combine([Bounds(2, 1, 8), ONE]) == pytest.approx((2, 1, 8))


@pytest.mark.parametrize("wrong", [Bounds(1, 0, 2), Bounds(1, 1.5, 2), Bounds(1, 0.5, 0.9), Bounds(-1, -2, 1)])
def test_bounds_on_the_wrong_side_are_refused(wrong: Bounds) -> None:
    with pytest.raises(ValueError, match="expected 0 < lower <= point <= upper"):
        combine([wrong])


def test_a_hull_keeps_the_first_point() -> None:
    assert hull(Bounds(5, 4, 6), Bounds(9, 3, 9.5)) == (5, 3, 9.5)


def test_higher_percentiles_are_never_below_lower_ones() -> None:
    p50, p90, p95 = ascending([Bounds(2, 1, 6), Bounds(3, 0.5, 5), Bounds(2.5, 2, 9)])
    assert p50 == (2, 1, 6)
    assert p90 == (3, 1, 6)
    assert p95 == (3, 2, 9)
