import numpy as np
import pytest

from edgekd.algorithms.agreement import Agreement, agreement


def test_a_model_agrees_with_itself() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    found = agreement(logits, logits)
    assert (found.top1, found.max_abs) == (1.0, 0.0)
    assert found.cosine == pytest.approx(1.0)


def test_each_figure_by_hand() -> None:
    first = np.array([[3.0, 4.0], [1.0, 0.0]])
    second = np.array([[4.0, 3.0], [2.0, 0.0]])
    assert agreement(first, second) == Agreement(top1=0.5, cosine=(24 / 25 + 1) / 2, max_abs=1.0)


def test_a_row_of_zeros_agrees_with_nothing() -> None:
    assert agreement(np.zeros((1, 2)), np.ones((1, 2))).cosine == 0.0


def test_differences_of_int8_do_not_wrap_around() -> None:
    assert agreement(np.array([[-128, 0]], np.int8), np.array([[127, 0]], np.int8)).max_abs == 255.0


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found outputs of shape \(1, 2\) and \(1, 3\), expected the same"):
        agreement(np.zeros((1, 2)), np.zeros((1, 3)))
