"""Domain data: the rows of another source to train on, in the classes of the pipeline's own data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edgekd.data import sources, text_sources
from edgekd.data.dataset import DataSet, Split
from edgekd.data.sources import Source
from edgekd.data.texts import UNLABELLED, TextSet
from edgekd.errors import BadInputError, nearest

Labels = npt.NDArray[np.int64]
Set = TypeVar("Set", DataSet, TextSet)
Set_co = TypeVar("Set_co", covariant=True)


class Whole(Protocol[Set_co]):
    """The pipeline's own data."""

    @property
    def digest(self) -> str:
        """Its digest."""

    @property
    def set(self) -> Set_co:
        """The data, checked."""


@dataclass(frozen=True)
class Domain(Generic[Set]):
    """The pipeline's data with the training rows of another source in the place of its own.

    Attributes:
        whole: the pipeline's data, whose classes and test split count.
        own: where the training rows come from.
        joined: makes one data set of both.

    """

    whole: Whole[Set]
    own: Source[Set]
    joined: Callable[[Set, Set], Set]

    def check(self) -> None:
        """Refuse what the source of the rows refuses."""
        self.own.check()

    def digest(self) -> str:
        """Both digests: the test split decides which repeated rows are left out."""
        return f"{self.whole.digest}+{self.own.digest()}"

    def load(self) -> Set:
        """Read the rows, and find their labels among the pipeline's classes."""
        return self.joined(self.whole.set, self.own.load())


def images(whole: Whole[DataSet], config: sources.DataConfig, cache: Path | None) -> Source[DataSet]:
    """Images of ``config`` to train on; those that are test images of ``whole`` too are counted and kept.

    Raises:
        BadInputError: no such source, a key that is missing, or one that training rows have no use for.

    """
    return sources.Noted(Domain(whole, sources.training(config, cache), _joined_images))


def texts(whole: Whole[TextSet], config: text_sources.TextDataConfig, cache: Path | None) -> Source[TextSet]:
    """Labelled texts of ``config`` to train on; those that are test texts of ``whole`` too are counted and left out.

    Raises:
        BadInputError: as for :func:`images`.

    """
    joined = Domain(whole, text_sources.training(config, cache), _joined_texts)
    return text_sources.Settled(joined, config, "text-classification")


def in_classes(labels: Labels, names: tuple[str, ...], known: tuple[str, ...], title: str) -> Labels:
    """Return the places in ``known`` of labels (N,) that are places in ``names``; -1, for none, stays.

    >>> in_classes(np.array([0, 1, -1]), ("ham", "spam"), ("spam", "ham"), "mails.csv").tolist()
    [1, 0, -1]

    Raises:
        BadInputError: a label that isn't in ``known``, or a class of those that no row has.

    """
    found = [names[place] for place in np.unique(labels[labels >= 0]).tolist()]
    for name in found:
        if name not in known:
            expected = "expected one of the pipeline's classes"
            raise BadInputError(f"{title}: found the label {name!r}, {expected}", nearest(name, known))
    for name in known:
        if name not in found:
            raise BadInputError(
                f"{title}: found no row of the class {name!r}, expected some of each of the pipeline's {len(known)} "
                "classes: a model forgets those that it is no longer shown",
                "add rows of that class, for example some of the pipeline's own training rows",
            )
    places = np.array([known.index(name) if name in known else UNLABELLED for name in names], np.int64)
    return np.where(labels < 0, UNLABELLED, places[labels])


def _joined_images(whole: DataSet, own: DataSet) -> DataSet:
    labels = in_classes(own.train.labels, own.classes, whole.classes, own.title)
    return DataSet(own.title, whole.classes, Split(own.train.images, labels), whole.test)


def _joined_texts(whole: TextSet, own: TextSet) -> TextSet:
    if own.train.labels is None:
        raise BadInputError(f"{own.title}: found no labels, expected them for text-classification")
    labels = in_classes(own.train.labels, own.classes, whole.classes, own.title)
    return TextSet(own.title, whole.classes, replace(own.train, labels=labels), whole.test)
