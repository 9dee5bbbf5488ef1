"""Texts, Pairs and TextSet: what text tasks learn from and are scored on, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekd.data.columns import chunks, select, take
from edgekd.errors import BadInputError

Rows = npt.NDArray[np.int64]
TextTask = Literal["text-classification", "text-embedding"]
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts, and for classification their labels.

    Attributes:
        texts: (N,) any sequence of str; a :class:`~edgekd.data.columns.Column` where they stay in their file.
        labels: (N,) the number of each text's class, or -1 for none; None where no text has one.
        ids: (N,) names of the rows, by which a table of a teacher's outputs finds them.

    """

    texts: Sequence[str]
    labels: npt.NDArray[np.int64] | None = None
    ids: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Rows) -> list[str]:
        """The texts of ``rows``, in that order."""
        return take(self.texts, rows)

    def select(self, rows: Rows) -> Texts:
        """``rows`` alone, as lazy as these."""
        return Texts(
            select(self.texts, rows),
            None if self.labels is None else self.labels[rows],
            None if self.ids is None else select(self.ids, rows),
        )


@dataclass(frozen=True, slots=True)
class Pairs:
    """Queries and documents, row by row.

    Without scores, document i is the one answer to query i among the documents of its gallery (retrieval). With
    scores, they say how alike the two texts of a row are, on any scale (semantic textual similarity).

    Attributes:
        queries: (N,) texts.
        documents: (N,) texts.
        galleries: (N,) the number of the row's gallery.
        scores: (N,) or None.

    """

    queries: Sequence[str]
    documents: Sequence[str]
    galleries: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.queries)


@dataclass(frozen=True, slots=True)
class TextSet:
    """A training split, and a test split that no training, calibration or selection ever sees.

    Attributes:
        title: what the report calls it.
        classes: names of the labels 0, 1, …; empty for embeddings.
        train: what is trained on.
        test: labelled texts for classification, pairs for embeddings.
        unlabelled: more texts to train on, with the teacher's outputs alone.
        out_of_domain: texts that belong to no class, for the AUROC of confidence.
        licence: of the data.
        problems: what was found and done about the data, with counts, for the report.

    """

    title: str
    classes: tuple[str, ...]
    train: Texts
    test: Texts | Pairs
    unlabelled: Texts | None = None
    out_of_domain: Texts | None = None
    licence: str = ""
    problems: tuple[str, ...] = ()


def numbered(names: Iterable[Hashable]) -> npt.NDArray[np.int64]:
    """Numbers for names, from 0 in the order in which they first occur.

    >>> numbered(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def digest(data: TextSet) -> str:
    """SHA-256 over classes, texts, labels, galleries and scores; the title and the problems decide nothing."""
    total = hashlib.sha256(repr(data.classes).encode())
    for part in (data.train, data.test, data.unlabelled, data.out_of_domain):
        total.update(type(part).__name__.encode())
        for field in () if part is None else fields(part):
            _update(total, getattr(part, field.name))
    return total.hexdigest()


def check(data: TextSet, task: TextTask) -> TextSet:
    """Return ``data`` if ``task`` can be trained and scored on it.

    Raises:
        BadInputError: an empty split or text, a wrong kind of test split, labels that don't fit, a class that never
            occurs in training, a score that isn't finite.

    """
    _check_texts(data.train, _where(data, "train"), data.classes)
    for name in ("unlabelled", "out_of_domain"):
        if (part := getattr(data, name)) is not None:
            _check_texts(part, _where(data, name), data.classes)
    if isinstance(data.test, Pairs):
        _check_pairs(data.test, _where(data, "test"))
    else:
        _check_texts(data.test, _where(data, "test"), data.classes)
    if task == "text-classification":
        _check_classification(data)
    elif data.out_of_domain is not None:
        raise refuse_out_of_domain(_where(data, "out_of_domain"), task)
    elif not isinstance(data.test, Pairs):
        raise BadInputError(f"{_where(data, 'test')}: found no pairs, expected queries and documents for {task}")
    return data


def refuse_out_of_domain(where: str, task: TextTask) -> BadInputError:
    """The error for texts that nothing would be told of."""
    return BadInputError(
        f"{where}: found texts for {task}, expected them with text-classification alone: "
        "they are told from test texts by a model's confidence, and vectors have none",
        "leave out_of_domain out; texts to learn from are unlabelled",
    )


def _where(data: TextSet, split: str) -> str:
    return f"data set {data.title!r}, split {split!r}"


def _check_texts(split: Texts, where: str, classes: tuple[str, ...]) -> None:
    refuse_empty_texts(split.texts, f"{where}: found")
    if split.ids is not None and len(split.ids) != len(split):
        raise BadInputError(f"{where}: found {len(split)} texts and {len(split.ids)} ids")
    if split.labels is not None:
        _check_labels(split.labels, len(split), where, classes)


def refuse_empty_texts(texts: Sequence[str], found: str) -> None:
    """Refuse no texts at all, rows that hold nothing or only white space, and rows that hold something else.

    Raises:
        BadInputError: one of these, beginning with ``found``.

    """
    if len(texts) == 0:
        raise BadInputError(f"{found} no texts, expected at least one", "check [data] train and test")
    empty: list[int] = []
    start = 0
    for some in chunks(texts):
        for row, text in enumerate(some, start):
            if text is not None and not isinstance(text, str):
                raise BadInputError(f"{found} a {type(text).__name__} in row {row}, expected text")
            if not text or not text.strip():
                empty.append(row)
        start += len(some)
    if empty:
        raise BadInputError(
            f"{found} no text in {len(empty)} of {len(texts)} rows, the first in row {empty[0]} (counted from 0)",
            "fill in those rows or leave them out",
        )


def _check_labels(labels: npt.NDArray[Any], count: int, where: str, classes: tuple[str, ...]) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise BadInputError(
            f"{where}: found labels of shape {labels.shape} and type {labels.dtype}, "
            "expected one whole number a text, -1 for none"
        )
    if len(labels) != count:
        raise BadInputError(f"{where}: found {count} texts and {len(labels)} labels")
    outside = (labels < UNLABELLED) | (labels >= len(classes))
    if outside.any():
        row = int(np.argmax(outside))
        raise BadInputError(
            f"{where}: found label {int(labels[row])} in row {row}, expected -1 to {len(classes) - 1} "
            f"({len(classes)} classes)"
        )


def _check_pairs(pairs: Pairs, where: str) -> None:
    for name in ("queries", "documents"):
        refuse_empty_texts(getattr(pairs, name), f"{where}, {name}: found")
    values = {field.name: getattr(pairs, field.name) for field in fields(pairs)}
    sizes = {name: len(value) for name, value in values.items() if value is not None}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{size} {name}" for name, size in sizes.items())
        raise BadInputError(f"{where}: found {listed}, expected as many of each")
    if pairs.galleries.ndim != 1 or pairs.galleries.dtype.kind not in "iu":
        raise BadInputError(f"{where}: found galleries of type {pairs.galleries.dtype}, expected whole numbers")
    if pairs.scores is not None and not (good := np.isfinite(pairs.scores)).all():
        row = int(np.argmin(good))
        raise BadInputError(
            f"{where}: found a score of {pairs.scores[row]} in row {row}, expected a number",
            "fill it in or leave the row out",
        )


def _check_classification(data: TextSet) -> None:
    test = data.test
    if isinstance(test, Pairs) or test.labels is None or (test.labels == UNLABELLED).any():
        raise BadInputError(f"{_where(data, 'test')}: found texts without labels, expected a label for each")
    if data.train.labels is None:
        raise BadInputError(f"{_where(data, 'train')}: found no labels, expected them for text-classification")
    if len(data.classes) < 2:
        raise BadInputError(f"data set {data.title!r}: found the classes {data.classes}, expected at least two")
    trained = np.bincount(data.train.labels[data.train.labels >= 0], minlength=len(data.classes))
    tested = np.bincount(test.labels, minlength=len(data.classes))
    for place in np.flatnonzero(trained == 0):
        raise BadInputError(
            f"data set {data.title!r}: found no training text of the class {data.classes[place]!r}, "
            f"which {tested[place]} test texts have",
            "add such texts to the training split, or leave the class out",
        )


def _update(total: Any, values: Any) -> None:
    if values is None or isinstance(values, np.ndarray):
        total.update(b"none" if values is None else values.dtype.str.encode() + np.ascontiguousarray(values).tobytes())
        return
    for some in chunks(values):
        for value in some:
            packed = str(value).encode()
            total.update(len(packed).to_bytes(8, "big") + packed)
