import numpy as np
import pytest

from edgekd.algorithms.confidence import probabilities
from edgekd.algorithms.softmax import LEAST_COMPUTED, improbable, is_softmax, logits

LOGITS = np.array([[3.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-40.0, 2.0, 1.0]])


def test_the_softmax_of_the_logits_is_what_they_came_from() -> None:
    given = probabilities(LOGITS)
    found = logits(given, LEAST_COMPUTED)
    assert found.dtype == np.float32
    assert probabilities(found) == pytest.approx(given, abs=1e-6)
    shift = LOGITS - found
    assert shift == pytest.approx(np.repeat(shift[:, :1], 3, axis=1), abs=1e-5)


def test_a_zero_counts_as_the_least_probability() -> None:
    assert logits(np.array([[0.0, 1.0]]), 1e-3).tolist() == [[pytest.approx(np.log(1e-3)), 0.0]]
    assert np.isfinite(logits(np.array([[0.0, 1.0]]), LEAST_COMPUTED)).all()


@pytest.mark.parametrize("row", [[0.5, 0.6], [0.2, 0.3], [-0.1, 1.1], [np.nan, 1.0], [np.inf, 0.0], [2.0, -1.0]])
def test_rows_that_are_no_probabilities(row: list[float]) -> None:
    assert improbable(np.array([[0.4, 0.6], row])).tolist() == [False, True]
    assert not is_softmax(np.array([[0.4, 0.6], row]))


def test_rounded_probabilities_are_probabilities_but_no_softmax() -> None:
    rounded = np.array([[0.33, 0.33, 0.33], [0.5, 0.25, 0.25]])
    assert not improbable(rounded).any()
    assert not is_softmax(rounded)


def test_one_column_of_ones_is_no_softmax() -> None:
    assert not is_softmax(np.ones((4, 1)))
    assert is_softmax(probabilities(LOGITS).astype(np.float16))
