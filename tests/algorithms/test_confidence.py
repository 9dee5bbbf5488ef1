import doctest

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score

from edgekd.algorithms import confidence
from edgekd.algorithms.confidence import (
    auroc,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(400, 5)) * 2
LABELS = np.array([RNG.choice(5, p=row) for row in softmax(LOGITS / 1.7, axis=1)])  # the right temperature is 1.7


def of_confidence(sure: list[float]) -> np.ndarray:
    """Logits of two classes whose first has these probabilities, all above a half."""
    return np.log(np.stack([np.array(sure), 1 - np.array(sure)], axis=1))


def test_worked_examples() -> None:
    found = doctest.testmod(confidence)
    assert found.failed == 0
    assert found.attempted >= 8


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_probabilities_are_those_of_scipy(temperature: float) -> None:
    np.testing.assert_allclose(probabilities(LOGITS, temperature), softmax(LOGITS / temperature, axis=1), rtol=1e-9)
    assert confidence.confidence(LOGITS, temperature).tolist() == probabilities(LOGITS, temperature).max(1).tolist()


def test_huge_logits_neither_overflow_nor_lose_their_likelihood() -> None:
    logits = np.array([[1e4, 0.0]], np.float32)
    assert probabilities(logits).tolist() == [[1.0, 0.0]]
    assert negative_log_likelihood(logits, np.array([1])) == pytest.approx(1e4)  # ln of a probability that is 0


def test_likelihood_is_that_of_scikit_learn() -> None:
    found = negative_log_likelihood(LOGITS, LABELS, 3.0)
    assert found == pytest.approx(log_loss(LABELS, softmax(LOGITS / 3, axis=1), labels=range(5)))


def test_the_temperature_that_made_the_labels_is_found() -> None:
    found = fit_temperature(LOGITS, LABELS)
    assert found == pytest.approx(1.7, rel=0.15)
    by_scipy = minimize_scalar(
        lambda t: log_loss(LABELS, softmax(LOGITS / t, axis=1), labels=range(5)),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found == pytest.approx(by_scipy.x, rel=1e-5)
    assert fit_temperature(LOGITS * 4, LABELS) == pytest.approx(4 * found)


def test_the_temperature_stays_in_its_range() -> None:
    right = np.array([0, 1])
    assert fit_temperature(np.eye(2), right) == pytest.approx(0.05)  # always right: the surer the better
    assert fit_temperature(np.eye(2), right[::-1]) == pytest.approx(20)  # always wrong
    assert 0.05 <= fit_temperature(np.eye(2) * 1e6, right) <= 20
    assert fit_temperature(np.full((2, 2), 3.7), right) == 1  # says nothing at any temperature


def test_calibration_error_by_hand() -> None:
    logits = of_confidence([0.9, 0.6, 0.8, 0.7, 0.95])
    labels = np.array([0, 1, 0, 1, 0])
    # bins of 3 and 2: (0.6, 0.7, 0.8) with accuracy 1/3, (0.9, 0.95) with 1
    assert expected_calibration_error(logits, labels, 2) == pytest.approx(3 / 5 * (0.7 - 1 / 3) + 2 / 5 * 0.075)
    assert expected_calibration_error(logits, labels, 1) == pytest.approx(0.79 - 0.6)
    # no more bins than rows, so that each row is its own
    assert expected_calibration_error(logits, labels, 99) == pytest.approx((0.1 + 0.6 + 0.2 + 0.7 + 0.05) / 5)


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_is_the_same_in_any_order(seed: int) -> None:
    logits = of_confidence(RNG.choice([0.6, 0.7, 0.9], 100).tolist())  # ties across every edge of a bin
    labels = RNG.integers(0, 2, 100)
    order = np.random.default_rng(seed).permutation(100)
    found = expected_calibration_error(logits, labels)
    assert expected_calibration_error(logits[order], labels[order]) == pytest.approx(found, abs=1e-12)
    moved = logits + 10 * RNG.normal(size=(100, 1))  # the same probabilities but for their last bits
    assert len(np.unique(confidence.confidence(moved))) > 3
    assert expected_calibration_error(moved, labels) == pytest.approx(found, abs=1e-9)


def test_one_confidence_for_all_is_as_wrong_as_it_is_far_from_the_accuracy() -> None:
    labels = np.array([0] * 60 + [1] * 40)
    assert expected_calibration_error(of_confidence([0.9] * 100), labels) == pytest.approx(0.3)


def test_the_error_that_few_rows_have_by_chance() -> None:
    rng, n = np.random.default_rng(1), 1000
    logits = of_confidence([0.9] * n) + np.array([1e-6, 0.0]) * np.arange(n)[:, None] / n  # 0.9, but never a tie
    found = [expected_calibration_error(logits, (rng.random(n) > 0.9).astype(int)) for _ in range(200)]
    assert np.mean(found) == pytest.approx(np.sqrt(2 * 15 * 0.9 * 0.1 / (np.pi * n)), rel=0.05)


def test_the_right_temperature_calibrates() -> None:
    labels = np.array([RNG.choice(5, p=row) for row in softmax(np.tile(LOGITS, (10, 1)) / 1.7, axis=1)])
    logits = np.tile(LOGITS, (10, 1))
    before = expected_calibration_error(logits, labels)
    after = expected_calibration_error(logits / fit_temperature(logits, labels), labels)
    assert after < 0.03
    assert before > 0.06


def test_auroc_is_that_of_scikit_learn() -> None:
    inside, outside = np.round(RNG.normal(1, 1, 300), 1), np.round(RNG.normal(0, 1, 200), 1)  # with ties
    expected = roc_auc_score([1] * 300 + [0] * 200, np.concatenate([inside, outside]))
    assert auroc(inside, outside) == pytest.approx(expected, abs=1e-12)
    assert auroc(outside, inside) == pytest.approx(1 - expected, abs=1e-12)


def test_auroc_at_its_ends() -> None:
    assert auroc(np.array([2.0, 3.0]), np.array([1.0])) == 1
    assert auroc(np.array([1.0]), np.array([2.0, 3.0])) == 0
    assert auroc(np.ones(4), np.ones(7)) == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "text"),
    [
        (np.ones(3), np.array([0, 0, 0]), "expected \\(N, classes\\)"),
        (np.ones((0, 3)), np.array([], int), "N >= 1"),
        (np.array([[1.0, np.inf]]), np.array([0]), "all of them finite"),
        (np.ones((2, 3)), np.array([0]), "expected \\(2,\\) integers"),
        (np.ones((2, 3)), np.array([0.0, 1.0]), "of type float64"),
        (np.ones((2, 3)), np.array([0, 3]), "labels from 0 to 3, expected 0 to 2"),
        (np.ones((2, 3)), np.array([-1, 0]), "labels from -1 to 0, expected 0 to 2"),
    ],
)
@pytest.mark.parametrize("function", [negative_log_likelihood, expected_calibration_error, fit_temperature])
def test_what_cannot_be_scored_is_refused(function, logits: np.ndarray, labels: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        function(logits, labels)


def test_numbers_out_of_range_are_refused() -> None:
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="expected a positive number"):
            probabilities(LOGITS, temperature)
    with pytest.raises(ValueError, match="found 0 bins"):
        expected_calibration_error(LOGITS, LABELS, 0)
    with pytest.raises(ValueError, match="found 0 and 2 values"):
        auroc(np.array([]), np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match="no NaN"):
        auroc(np.array([np.nan]), np.array([0.5]))
