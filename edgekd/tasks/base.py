"""Task: what a model takes, what its outputs mean and how they are scored. A user's own task is a subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.agreement import alikeness
from edgekd.data.splits import TrainingRows, random_split, split_training
from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError

Arrays = Mapping[str, npt.NDArray[Any]]  # a model's inputs by name; their first axis counts rows
Rows = npt.NDArray[np.int64]
Split = Literal["train", "test", "out_of_domain"]
MASK = "attention_mask"


class Outputs(StrEnum):
    """What a model of this task gives for a row."""

    LOGITS = "logits"  # one for each class
    VECTORS = "vectors"  # an embedding


@dataclass(frozen=True, slots=True)
class Scored:
    """What the test items scored (items,), and arrays that more figures can be computed from."""

    scores: npt.NDArray[np.float64]
    more: Arrays = field(default_factory=dict)


class Task(ABC):
    """Data with its meaning. Rows are numbered from 0 in each split; the test split is only ever scored.

    A subclass sets ``metric`` and defines ``count``, ``inputs`` and ``score``; the rest has defaults.
    """

    metric: str  # what ``score`` gives, for example 'top-1 accuracy'
    outputs: Outputs = Outputs.LOGITS
    title: str = "data of its own"
    row: str = "row"  # what one row is called
    item: str = "row"  # what one scored test item is called: several rows may make one
    classes: tuple[str, ...] = ()
    selection: int = 500  # training rows that are kept for choosing
    problems: tuple[str, ...] = ()  # what was found and done about the data, for the report
    raw_suffix: str = ""  # the ending of a file with what ``raw`` gives, for example '.png'

    @abstractmethod
    def count(self, split: Split) -> int:
        """How many rows a split has; 0 for one that isn't there."""

    @abstractmethod
    def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
        """The model's inputs for ``rows``, by name, in the order in which the module takes them."""

    @abstractmethod
    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        """Score a model's outputs (rows, width) on the whole test split."""

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The training rows' labels, -1 where one has none; None for a task without labels."""
        return None

    @property
    def test_labels(self) -> npt.NDArray[np.int64] | None:
        """The test rows' labels; None for a task without labels."""
        return None

    def raw(self, split: Split, row: int) -> bytes | None:
        """A row before it is prepared, as a file of ``raw_suffix`` would hold it; None where there is no such file."""
        del split, row
        return None

    def rows(self, seed: int) -> TrainingRows:
        """Which training rows are fitted and which are kept for choosing: stratified where there are labels."""
        if self.labels is None or not self.classes:
            return random_split(self.count("train"), self.selection, seed)
        return split_training(self.labels, self.selection, len(self.classes), seed, f"{self.row}s")

    def ids(self, split: Split, rows: Rows) -> Sequence[str]:
        """What ``rows`` are called in a table of a teacher's outputs: 'train/17' for the row 17, counted from 0."""
        return [f"{split}/{row}" for row in rows.tolist()]

    def lengths(self, split: Split, rows: Rows) -> npt.NDArray[np.int64] | None:
        """How long each row is, where batches are better made of rows of about one length."""
        del split, rows
        return None

    def augmented(self, augment: AugmentConfig) -> Task:
        """Return the same task, whose training rows have the views that ``augment`` describes."""
        if augment != AugmentConfig():
            raise BadInputError(
                f"[augment]: found views for {self.title}, expected none: only images have views",
                "leave [augment] out",
            )
        return self

    def read_by(self, tokenizer: Path) -> Task:
        """Return the same rows as a model with another tokenizer reads them."""
        del tokenizer
        return self

    def notes(self) -> tuple[str, ...]:
        """What the report says about the data: problems that were found, and what was cut off."""
        return self.problems

    def representative(self) -> Arrays:
        """One row that costs what the largest input costs: models are exported and timed with it."""
        return self.inputs("test", np.zeros(1, np.int64))

    def quality(self, outputs: npt.NDArray[Any], rows: Rows, teacher: npt.NDArray[Any] | None) -> float:
        """How good ``outputs`` are on training ``rows`` kept for choosing.

        That is the accuracy, or without labels how near they are to the teacher's: the mean cosine, or for vectors of
        another width the correlation of all cosines between two rows.
        """
        if self.labels is not None:
            return float((outputs.argmax(1) == self.labels[rows]).mean())
        if teacher is None:
            return 0.0
        return mean_cosine(outputs, teacher) if outputs.shape == teacher.shape else alikeness(outputs, teacher)

    def shifts(self) -> Mapping[str, tuple[float, ...]]:
        """The kinds of shift that this task's inputs can be put under, with their levels."""
        return {}

    def under(self, kind: str | None, level: float, items: int, seed: int) -> Task:
        """The same task with its first ``items`` test items alone, put under a shift (None: as they are)."""
        raise NotImplementedError(f"{type(self).__name__} has no shifts: no {kind} at {level} of {items}, {seed}")

    def each(self, split: Split, rows: Rows | None = None) -> Iterator[Arrays]:
        """The inputs of one row after another, each (1, …), as a file takes them."""
        chosen = np.arange(self.count(split)) if rows is None else rows
        for start in range(len(chosen)):
            yield self.inputs(split, chosen[start : start + 1])


def mean_cosine(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Mean cosine of the rows of two arrays (N, D); different widths have none, and give 0.

    >>> mean_cosine(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[2.0, 0.0], [2.0, 0.0]]))
    0.5
    """
    if first.shape != second.shape:
        return 0.0
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(np.mean((first * second).sum(1) / np.maximum(norms, 1e-12)))


def one(arrays: Arrays, row: int) -> Arrays:
    """Row ``row`` of ``arrays`` as inputs of its own (1, …); what pads a shorter text is cut off."""
    chosen = {name: values[row : row + 1] for name, values in arrays.items()}
    if MASK not in chosen:
        return chosen
    length = int(chosen[MASK].sum())
    return {name: values[:, :length] if values.ndim == 2 else values for name, values in chosen.items()}
