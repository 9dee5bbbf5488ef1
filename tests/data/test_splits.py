import numpy as np
import pytest

from edgekd.data.splits import random_split, split_training, stratified
from edgekd.errors import BadInputError

LABELS = np.array([0] * 50 + [1] * 30 + [2] * 20)


def test_every_class_gives_the_same_number() -> None:
    rows = stratified(LABELS, 30, 3, seed=1)
    assert np.bincount(LABELS[rows]).tolist() == [10, 10, 10]
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert rows.tolist() == stratified(LABELS, 30, 3, seed=1).tolist()
    assert rows.tolist() != stratified(LABELS, 30, 3, seed=2).tolist()


def test_a_number_that_cannot_be_shared_out_is_rounded_up() -> None:
    assert np.bincount(LABELS[stratified(LABELS, 10, 3, seed=1)]).tolist() == [4, 4, 4]


def test_fitted_and_kept_rows_are_disjoint_and_all() -> None:
    rows = split_training(LABELS, 30, 3, seed=1)
    assert len(rows.selection) == 30
    assert sorted([*rows.fit, *rows.selection]) == list(range(100))


def test_a_class_that_is_missing_is_refused() -> None:
    with pytest.raises(BadInputError) as caught:
        stratified(LABELS, 40, 4, seed=1)
    assert caught.value.message == (
        "training split: found 0 images of class 3, expected at least 10 for a stratified set of 40"
    )
    assert "calibration_samples" in caught.value.hint


def test_a_class_with_too_few_images_is_refused() -> None:
    with pytest.raises(BadInputError, match="found 20 images of class 2, expected at least 21"):
        stratified(LABELS, 63, 3, seed=1)


def test_something_must_be_left_to_fit() -> None:
    with pytest.raises(BadInputError, match="found 6 images, all of which are kept for selection"):
        split_training(np.array([0, 1, 2] * 2), 6, 3, seed=1)


def test_texts_are_called_texts_and_rows_without_a_label_are_only_fitted() -> None:
    labels = np.where(np.arange(100) % 10 == 0, -1, LABELS)
    rows = split_training(labels, 30, 3, seed=1, noun="texts")
    assert (labels[rows.selection] >= 0).all()
    assert (labels[rows.fit] == -1).sum() == 10
    with pytest.raises(BadInputError, match="found 18 texts of class 2, expected at least 21"):
        split_training(labels, 63, 3, seed=1, noun="texts")


def test_rows_without_labels_are_split_at_random() -> None:
    rows = random_split(100, 30, seed=1)
    assert len(rows.selection) == 30
    assert sorted([*rows.fit, *rows.selection]) == list(range(100))
    assert (
        rows.selection.tolist() == sorted(rows.selection.tolist()) == random_split(100, 30, seed=1).selection.tolist()
    )
    assert rows.selection.tolist() != random_split(100, 30, seed=2).selection.tolist()


@pytest.mark.parametrize("selection", [0, 100, 500])
def test_a_random_split_leaves_something_on_both_sides(selection: int) -> None:
    with pytest.raises(BadInputError, match=f"found 100 rows, of which {selection} are kept for selection"):
        random_split(100, selection, seed=1)
