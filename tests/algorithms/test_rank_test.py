"""The rank test against scipy's, and under correlation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from edgekd.algorithms.rank_test import rank_test


@pytest.mark.parametrize("sizes", [(8, 5), (40, 60), (500, 300)])
@pytest.mark.parametrize("digits", [0, 1, 12])
def test_it_is_scipys_with_and_without_ties(sizes: tuple[int, int], digits: int) -> None:
    random = np.random.default_rng(sizes[0] + digits)
    first, second = (
        np.round(random.normal(shift, 1, size), digits) for shift, size in zip((0, 0.3), sizes, strict=True)
    )
    expected = mannwhitneyu(second, first, method="asymptotic", use_continuity=False)
    found = rank_test(first, second)
    assert found.probability == pytest.approx(expected.statistic / (len(first) * len(second)))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_equal_values_say_nothing() -> None:
    assert rank_test(np.ones(9), np.ones(7)) == (0.5, 1.0)


def test_fewer_independent_values_are_less_evidence_for_the_same_effect() -> None:
    random = np.random.default_rng(3)
    first, second = random.normal(0, 1, 400), random.normal(0.25, 1, 400)
    alone, fewer = rank_test(first, second), rank_test(first, second, (40, 40))
    assert alone.probability == fewer.probability > 0.5
    assert alone.p < 0.01 < fewer.p


def test_chance_is_found_as_often_as_promised() -> None:
    random = np.random.default_rng(11)
    found = [rank_test(random.exponential(size=30), random.exponential(size=50)).p < 0.05 for _ in range(1000)]
    assert 0.03 < np.mean(found) < 0.07


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="found samples of 0 and 3 values"):
        rank_test(np.empty(0), np.ones(3))
