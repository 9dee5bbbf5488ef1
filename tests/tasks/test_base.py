"""What every task has: splits of the rows, batches of one row, quality on the rows kept for choosing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError
from edgekd.tasks.base import Arrays, Outputs, Rows, Scored, Split, Task, mean_cosine, one


class Numbers(Task):
    """Ten numbers, which are their own classes modulo 2 if there are labels."""

    metric = "nearness"
    selection = 4
    title = "numbers"

    def __init__(self, *, labelled: bool) -> None:
        self.classes = ("even", "odd") if labelled else ()
        self.outputs = Outputs.LOGITS if labelled else Outputs.VECTORS

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        return np.arange(10) % 2 if self.classes else None

    def count(self, split: Split) -> int:
        return {"train": 10, "test": 3, "out_of_domain": 0}[split]

    def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
        return {"number": rows[:, None] + 100 * (split == "test") + 1000 * view}

    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        return Scored(np.ones(len(outputs)))


@pytest.mark.parametrize("labelled", [True, False])
def test_the_rows_are_split_once_and_for_all_by_the_seed(labelled: bool) -> None:  # noqa: FBT001
    task = Numbers(labelled=labelled)
    rows, again, other = task.rows(1), task.rows(1), task.rows(2)
    assert sorted([*rows.fit, *rows.selection]) == list(range(10))
    assert len(rows.selection) == 4
    assert np.array_equal(rows.selection, again.selection)
    assert not np.array_equal(rows.selection, other.selection)
    if labelled:
        assert np.bincount(rows.selection % 2).tolist() == [2, 2]


def test_rows_come_one_by_one_as_a_file_takes_them() -> None:
    task = Numbers(labelled=False)
    assert [row["number"].tolist() for row in task.each("test")] == [[[100]], [[101]], [[102]]]
    assert [row["number"].tolist() for row in task.each("train", np.array([7, 2]))] == [[[7]], [[2]]]
    assert task.representative()["number"].tolist() == [[100]]


def test_quality_is_accuracy_where_there_are_labels_and_else_the_cosine_to_the_teacher() -> None:
    outputs, rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.array([4, 5, 7])
    assert Numbers(labelled=True).quality(outputs, rows, None) == pytest.approx(2 / 3)
    vectors = Numbers(labelled=False)
    assert vectors.quality(outputs, rows, 3 * outputs) == pytest.approx(1.0)
    assert vectors.quality(outputs, rows, outputs[:, ::-1]) == pytest.approx(0.0)
    assert vectors.quality(outputs, rows, None) == 0.0


def test_vectors_of_different_widths_have_no_cosine() -> None:
    assert mean_cosine(np.ones((2, 3)), np.ones((2, 4))) == 0.0
    assert mean_cosine(np.zeros((1, 2)), np.ones((1, 2))) == 0.0


def test_only_images_have_views() -> None:
    task = Numbers(labelled=True)
    assert task.augmented(AugmentConfig()) is task
    with pytest.raises(BadInputError, match=r"\[augment\]: found views for numbers, expected none"):
        task.augmented(AugmentConfig(views=2))


def test_a_task_has_no_shifts_and_no_notes_unless_it_says_so() -> None:
    task = Numbers(labelled=True)
    assert task.shifts() == {}
    assert task.notes() == ()
    assert task.lengths("train", np.arange(2)) is None
    with pytest.raises(NotImplementedError, match="Numbers has no shifts"):
        task.under("noise", 1.0, 3, 0)


def test_one_row_of_texts_has_no_padding() -> None:
    mask = np.array([[1, 1, 1], [1, 0, 0]])
    batch = {"input_ids": np.array([[5, 6, 7], [8, 0, 0]]), "attention_mask": mask, "extra": np.array([1, 2])}
    assert {name: values.tolist() for name, values in one(batch, 1).items()} == {
        "input_ids": [[8]],
        "attention_mask": [[1]],
        "extra": [2],
    }
    assert one(batch, 0)["input_ids"].tolist() == [[5, 6, 7]]


def test_one_row_without_a_mask_is_that_row() -> None:
    images = np.arange(24).reshape(2, 3, 2, 2)
    assert np.array_equal(one({"image": images}, 1)["image"], images[1:])
