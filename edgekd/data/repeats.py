"""What is done about test rows that occur in training too, and about documents that stand in a gallery twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal

import numpy as np

from edgekd.algorithms.duplicates import Buffer, Overlap, overlap, overlap_bytes
from edgekd.data.columns import Rows
from edgekd.data.dataset import DataSet
from edgekd.data.texts import Pairs, Texts, TextSet
from edgekd.errors import BadInputError

Duplicates = Literal["drop", "keep"]


def settle(data: TextSet, duplicates: Duplicates) -> TextSet:
    """Count the test texts that occur in training, and leave them out of training unless they are to be kept.

    The test split stays as it is, so that its scores can be compared with others'. ``unlabelled`` is trained on, and
    treated like the training split. Texts are the same if they differ in case and white space at most.

    Raises:
        BadInputError: no training text would be left.

    """
    tested, trained = _tested(data), _trained(data)
    found = overlap(chain.from_iterable(trained.values()), chain.from_iterable(tested.values()))
    if found.count == 0:
        return data
    if duplicates == "keep":
        return replace(data, problems=(*data.problems, f"{said(found, data)}; they were kept (duplicates = 'keep')"))
    train = _without(data.train, tested.values())
    unlabelled = None if data.unlabelled is None else _without(data.unlabelled, tested.values())
    if len(train) == 0:
        raise BadInputError(f"data set {data.title!r}: found every training text in the test split too")
    dropped = sum(map(len, trained.values())) - len(train) - (0 if unlabelled is None else len(unlabelled))
    problem = f"{said(found, data)}; {dropped} training texts were left out for it"
    unlabelled = unlabelled if unlabelled is None or len(unlabelled) else None
    return replace(data, train=train, unlabelled=unlabelled, problems=(*data.problems, problem))


def note_images(data: DataSet) -> DataSet:
    """Count the test images whose bytes are those of a training image; they are kept."""
    found = note_rows(data.train.images, data.test.images, "image")
    return replace(data, problems=(*data.problems, *found)) if found else data


def note_rows(train: Iterable[Buffer], test: Iterable[Buffer], row: str) -> tuple[str, ...]:
    """A line for the report if rows of ``test`` have the bytes of a row of ``train``; they are kept."""
    found = overlap_bytes(train, test)
    if found.count == 0:
        return ()
    first = found.examples[0]
    places = f"the first: test {row} {first.test_row}, training {row} {first.train_row}"
    return (f"{found.count} of {found.tested} test {row}s occur in training too ({places}); they were kept",)


def note_documents(data: TextSet) -> TextSet:
    """Count the documents that stand in their gallery more than once: only the one in the query's row is its answer."""
    pairs = data.test
    if not isinstance(pairs, Pairs) or pairs.scores is not None:
        return data
    counts = Counter(zip(pairs.galleries.tolist(), pairs.documents, strict=True))
    repeated = sum(count for count in counts.values() if count > 1)
    if repeated == 0:
        return data
    problem = f"{repeated} of {len(pairs)} documents stand in their gallery more than once; each counts as one answer"
    return replace(data, problems=(*data.problems, f"{problem}, the one in its query's row"))


def said(found: Overlap, data: TextSet) -> str:
    """The count and the first example, as the beginning of a sentence; it isn't quoted, as reports are handed on."""
    first = found.examples[0]
    places = f"the first: {_place(first.test_row, _tested(data))}, {_place(first.train_row, _trained(data))}"
    return f"{found.count} of {found.tested} test texts occur in training too ({places})"


def _place(row: int, parts: Mapping[str, Sequence[str]]) -> str:
    """Where a row is that was counted through all ``parts``."""
    for name, texts in parts.items():
        if row < len(texts):
            return f"{name} {row}"
        row -= len(texts)
    raise IndexError(row)


def _tested(data: TextSet) -> dict[str, Sequence[str]]:
    if isinstance(data.test, Pairs):
        return {"test query": data.test.queries, "test document": data.test.documents}
    return {"test text": data.test.texts}


def _trained(data: TextSet) -> dict[str, Sequence[str]]:
    unlabelled = {} if data.unlabelled is None else {"unlabelled text": data.unlabelled.texts}
    return {"training text": data.train.texts, **unlabelled}


def _without(texts: Texts, tested: Iterable[Sequence[str]]) -> Texts:
    seen = overlap(chain.from_iterable(tested), texts.texts, examples=len(texts))
    drop: Rows = np.array([repeat.test_row for repeat in seen.examples], np.int64)
    return texts.select(np.setdiff1d(np.arange(len(texts)), drop)) if len(drop) else texts
