"""The sources of text that a pipeline can name: tables, a hub, the bundled slice of WordNet, and 'module:function'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd import dotted
from edgekd.data import labels, repeats, texts, wordnet
from edgekd.data.cache import Cache
from edgekd.data.columns import Column
from edgekd.data.origins import HUB_KEYS, TABLE_KEYS, Names, Origin, TabularConfig, origin
from edgekd.data.sources import Source, called
from edgekd.data.tables import Table, Wanted
from edgekd.data.texts import Pairs, Texts, TextSet, TextTask
from edgekd.errors import BadInputError, nearest
from edgekd.toml_file import Frozen

HANDLED = frozenset({"use", "selection", "rows", "duplicates", "max_length"})  # keys that go with every source
KEYS = {
    "table": TABLE_KEYS | {"unlabelled", "out_of_domain"},
    "hub": HUB_KEYS | {"unlabelled", "out_of_domain"},
    "wordnet": frozenset[str](),
}
NOT_OF_TRAINING = frozenset({"test", "unlabelled", "out_of_domain", "max_length"})  # a model has one length
TEXT, LABELLED = (("text",), ("id",)), (("text", "label"), ("id",))  # roles that a split must and can have
PAIRED = (("query", "document"), ("gallery", "score"))
ROLES: Mapping[TextTask, Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "text-classification": {"train": LABELLED, "test": LABELLED, "unlabelled": TEXT, "out_of_domain": TEXT},
    "text-embedding": {"train": TEXT, "test": PAIRED, "unlabelled": TEXT},
}


class TextColumns(Frozen):
    """[data] columns: what the columns are called; only those that the task has a use for are looked for."""

    text: str = "text"
    label: str = "label"
    query: str = "query"
    document: str = "document"
    gallery: str = "gallery"  # optional: queries are answered within their gallery
    score: str = "score"  # optional: how alike query and document are
    id: str = "id"  # optional: names of the rows, for a table of a teacher's outputs


class TextDataConfig(TabularConfig):
    """The [data] table of a text task."""

    unlabelled: Names = ()
    out_of_domain: Names = ()
    columns: TextColumns = TextColumns()
    max_length: Annotated[int, Field(ge=4)] | None = (
        None  # tokens that a text is cut to; the model's own limit if not given
    )
    rows: Annotated[int, Field(ge=1)] | None = None  # use the first so many training rows
    duplicates: repeats.Duplicates = "drop"  # training rows that occur in the test split too

    def splits(self) -> dict[str, tuple[str, ...]]:
        """The files, or the hub's names, of each split that was given."""
        return {**super().splits(), "unlabelled": self.unlabelled, "out_of_domain": self.out_of_domain}


def source(config: TextDataConfig, task: TextTask, cache: Path | None = None) -> Source[TextSet]:
    """Return the source that ``config`` names.

    Args:
        config: the [data] table, its files already found beside the pipeline.
        task: which columns are needed.
        cache: where tables are kept as memory-mapped files; a temporary folder where it is None.

    Raises:
        BadInputError: no such source, a key that is missing, or one that the source has no use for.

    """
    if config.out_of_domain and task == "text-embedding":
        raise texts.refuse_out_of_domain("[data] out_of_domain", task)
    return Settled(_raw(config, task, cache), config, task)


def training(config: TextDataConfig, cache: Path | None = None) -> Source[TextSet]:
    """Return the same for labelled training texts alone, as they are: tables need no other split."""
    return _raw(config, "text-classification", cache, ("train",))


def _raw(
    config: TextDataConfig, task: TextTask, cache: Path | None, needed: tuple[str, ...] = ("train", "test")
) -> Source[TextSet]:
    handled = HANDLED if "test" in needed else HANDLED - NOT_OF_TRAINING
    if ":" in config.use:
        config.refuse_other_keys(handled)
        return Function(config.use, task)
    if config.use not in KEYS:
        hint = nearest(config.use, KEYS) + " Or 'module:function'."
        raise BadInputError(f"[data] use: found {config.use!r}, expected a source for {task}", hint)
    config.refuse_other_keys(handled | (KEYS[config.use] if "test" in needed else KEYS[config.use] - NOT_OF_TRAINING))
    if config.use == "wordnet":
        if task != "text-embedding":
            raise BadInputError(f"[data] use: found 'wordnet', which has no labels, expected a source for {task}")
        return Bundled()
    return Tabular(origin(config, Cache(cache), needed), config, task)


@dataclass(frozen=True)
class Settled:
    """A source whose data is cut to the rows that were asked for, checked, and freed of repeated texts."""

    raw: Source[TextSet]
    config: TextDataConfig
    task: TextTask

    def check(self) -> None:
        """Refuse what the source refuses."""
        self.raw.check()

    def digest(self) -> str:
        """The source's digest, and what is made of its data."""
        return f"{self.raw.digest()}:{self.task}:{self.config.rows}:{self.config.duplicates}"

    def load(self) -> TextSet:
        """Read the data, refuse what can't be used, and note what was found."""
        data = self.raw.load()
        if self.config.rows is not None and self.config.rows < len(data.train):
            data = replace(data, train=data.train.select(np.arange(self.config.rows)))
        settled = repeats.settle(texts.check(data, self.task), self.config.duplicates)
        if settled.train is not data.train:
            texts.check(settled, self.task)  # a class can have lost its last row
        return repeats.note_documents(settled)


@dataclass(frozen=True)
class Tabular:
    """Tables whose columns are texts, labels or pairs."""

    origin: Origin
    config: TextDataConfig
    task: TextTask

    def check(self) -> None:
        """Refuse missing files and columns."""
        self.origin.check(self._wanted)

    def digest(self) -> str:
        """SHA-256 over the tables and the names of their columns."""
        return self.origin.digest(self._wanted)

    def load(self) -> TextSet:
        """Open the tables; texts stay in their files."""
        opened = {split: self.origin.open(split, wanted) for split, wanted in self._wanted.items()}
        names: tuple[str, ...] = ()
        if self.task == "text-classification":
            names = labels.classes([self._labels(opened[split]) for split in ("train", "test") if split in opened])
        more = {split: self._texts(table, ()) for split, table in opened.items() if split not in ("train", "test")}
        return TextSet(
            title=", tested on ".join(opened[split].where for split in ("train", "test") if split in opened),
            classes=names,
            train=self._texts(opened["train"], names),
            test=self._tested(opened.get("test"), names),
            unlabelled=more.get("unlabelled"),
            out_of_domain=more.get("out_of_domain"),
        )

    @property
    def _wanted(self) -> dict[str, Wanted]:
        return {
            split: self._columns(*roles) for split, roles in ROLES[self.task].items() if self.config.splits()[split]
        }

    def _columns(self, required: tuple[str, ...], optional: tuple[str, ...]) -> Wanted:
        """The columns' names; an optional one that the pipeline names must be there."""
        columns = self.config.columns
        named = tuple(role for role in optional if role in columns.model_fields_set)
        rest = tuple(role for role in optional if role not in named)
        must, may = (tuple(getattr(columns, role) for role in roles) for roles in ((*required, *named), rest))
        return Wanted(must, may)

    def _texts(self, table: Table, names: tuple[str, ...]) -> Texts:
        ids = self._optional(table, "id")
        numbers = labels.numbers(self._labels(table), names) if names else None
        return Texts(table.text(self.config.columns.text), numbers, ids)

    def _tested(self, table: Table | None, names: tuple[str, ...]) -> Texts | Pairs:
        if table is None:
            return Texts((), np.zeros(0, np.int64))
        return self._texts(table, names) if self.task == "text-classification" else self._pairs(table)

    def _labels(self, table: Table) -> labels.Labels:
        return labels.of_table(table, self.config.columns.label)

    def _pairs(self, table: Table) -> Pairs:
        columns = self.config.columns
        galleries = self._optional(table, "gallery")
        scores = self._optional(table, "score")
        return Pairs(
            table.text(columns.query),
            table.text(columns.document),
            np.zeros(len(table), np.int64) if galleries is None else texts.numbered(galleries),
            None if scores is None else _numbers(scores, f"{table.where}, column {columns.score!r}"),
        )

    def _optional(self, table: Table, role: str) -> Column | None:
        name = getattr(self.config.columns, role)
        return table.column(name) if name in table.columns else None


@dataclass(frozen=True)
class Bundled:
    """The slice of WordNet that comes with edgekd."""

    def check(self) -> None:
        """Refuse an installation without it."""
        for path in (wordnet.TEXTS, wordnet.PAIRS):
            if not path.is_file():
                raise BadInputError(f"[data] use: found no file {path}", "install edgekd again")

    def digest(self) -> str:
        """SHA-256 over the packed files."""
        return wordnet.digest()

    def load(self) -> TextSet:
        """Unpack the files."""
        return wordnet.load()


@dataclass
class Function:
    """``module:function`` that returns a TextSet; called once, and digested by what it returned."""

    name: str
    task: TextTask

    def check(self) -> None:
        """Refuse a module that isn't there."""
        dotted.source(self.name, "[data] use")

    def digest(self) -> str:
        """SHA-256 over the texts and arrays that it returned."""
        return texts.digest(self._data)

    def load(self) -> TextSet:
        """Return what the function returned."""
        return self._data

    @cached_property
    def _data(self) -> TextSet:
        return texts.check(called(self.name, TextSet), self.task)


def _numbers(column: Column, where: str) -> npt.NDArray[np.float64]:
    found = np.empty(len(column), np.float64)
    for row, value in enumerate(column):
        try:
            found[row] = float(value)
        except (TypeError, ValueError):
            raise BadInputError(f"{where}: found {value!r} in row {row}, expected a number") from None
    return found
