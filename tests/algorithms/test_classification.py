import doctest

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score, recall_score

from edgekd.algorithms import classification
from edgekd.algorithms.classification import ClassChange, holm, macro_f1, mcnemar, per_class_change, per_class_recall

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, 300)
PREDICTED = np.where(RNG.random(300) < 0.7, LABELS, RNG.integers(0, 5, 300))


def test_worked_examples() -> None:
    found = doctest.testmod(classification)
    assert found.failed == 0
    assert found.attempted >= 7


@pytest.mark.parametrize("classes", [5, 8])  # 5 to 7 never occur
def test_macro_f1_and_recall_are_those_of_scikit_learn(classes: int) -> None:
    assert macro_f1(PREDICTED, LABELS, classes) == pytest.approx(f1_score(LABELS, PREDICTED, average="macro"))
    found = per_class_recall(PREDICTED, LABELS, classes)
    np.testing.assert_allclose(found[:5], recall_score(LABELS, PREDICTED, average=None))
    assert found.shape == (classes,)
    assert np.isnan(found[5:]).all()


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    # class 0: TP 2, FN 1; class 1 has no row and one prediction
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 0, 0]), 3) == pytest.approx((4 / 5 + 0) / 2)


@pytest.mark.parametrize(
    ("lost", "gained"), [(0, 0), (1, 0), (5, 5), (9, 2), (2, 9), (0, 30), (700, 800), (3000, 1000)]
)
def test_mcnemar_is_the_binomial_test(lost: int, gained: int) -> None:
    expected = binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    assert mcnemar(lost, gained) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_holm_by_hand() -> None:
    # in order 0.005, 0.011, 0.02, 0.04 -> 0.02, 0.033, 0.04, 0.04
    assert holm([0.04, 0.005, 0.02, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    # the second may not be below the first: 3 * 0.02 = 0.06, then 2 * 0.021 = 0.042
    assert holm([0.02, 0.021, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_change_by_hand() -> None:
    labels = np.array([0] * 10 + [1] * 4 + [3] * 2)
    first = labels.copy()
    first[0] = 1  # one of class 0 that only the second gets right
    second = labels.copy()
    second[1:10] = 2  # nine of class 0 that only the first gets right
    second[14] = 1  # one of class 3
    zero, one, two, three = per_class_change(first, second, labels, 4)
    p_zero = mcnemar(9, 1)
    assert zero == ClassChange(0, 10, 0.9, 0.1, 9, 1, p_zero, 3 * p_zero)  # three classes have rows
    assert one == ClassChange(1, 4, 1.0, 1.0, 0, 0, 1.0, 1.0)
    assert two == ClassChange(2, 0, None, None, 0, 0, 1.0, 1.0)
    assert three == ClassChange(3, 2, 1.0, 0.5, 1, 0, 1.0, 1.0)


def test_a_loss_is_one_that_outlives_the_correction() -> None:
    labels = np.arange(20).repeat(8)
    second = labels.copy()
    second[:7] = 1  # p = 0.0156 alone, 0.3125 among 20 classes
    weak = per_class_change(labels, second, labels, 20)[0]
    assert weak.p_value == 0.015625
    assert weak.p_adjusted == pytest.approx(0.3125)
    assert not weak.is_loss()
    assert weak.is_loss(alpha=0.4)
    alone = per_class_change(labels[:8], second[:8], labels[:8], 2)[0]
    assert alone.is_loss()


def test_a_gain_is_no_loss() -> None:
    labels = np.zeros(30, int)
    wrong = np.ones(30, int)
    lost, gained = (per_class_change(*pair, labels, 2)[0] for pair in ((labels, wrong), (wrong, labels)))
    assert lost.p_adjusted == gained.p_adjusted < 1e-6
    assert lost.is_loss()
    assert not gained.is_loss()


def test_both_wrong_in_different_ways_is_no_change() -> None:
    labels = np.zeros(9, int)
    change = per_class_change(np.full(9, 1), np.full(9, 2), labels, 3)[0]
    assert (change.lost, change.gained, change.p_value) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("predicted", "labels", "text"),
    [
        ([0, 1], [0], "expected \\(N,\\) twice"),
        ([], [], "expected \\(N,\\) twice"),
        ([0, 3], [0, 1], "from 0 to 3, expected integers from 0 to 2"),
        ([0, 1], [0, 3], "from 0 to 3, expected integers from 0 to 2"),
        ([-1, 1], [0, 1], "from -1 to 1, expected integers"),
        ([0.0, 1.0], [0, 1], "of type float64"),
    ],
)
def test_what_names_no_class_is_refused(predicted: list[float], labels: list[int], text: str) -> None:
    for function in (macro_f1, per_class_recall, lambda p, y, c: per_class_change(y, p, y, c)):
        with pytest.raises(ValueError, match=text):
            function(np.array(predicted), np.array(labels), 3)
