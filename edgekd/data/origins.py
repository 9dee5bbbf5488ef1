"""Where the tables of a data set's splits come from: files, or a data set that the ``datasets`` library loads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

from pydantic import BeforeValidator, Field

from edgekd.data import tables
from edgekd.data.cache import Cache
from edgekd.data.columns import CHUNK_ROWS
from edgekd.data.tables import Table, Wanted
from edgekd.errors import BadInputError, MissingExtraError
from edgekd.toml_file import Frozen


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]  # in TOML a string, or a list of strings
Splits = Mapping[str, tuple[str, ...]]  # for each split its files or, for a hub, the names of its splits there


class TabularConfig(Frozen):
    """What the [data] tables of all tasks have in common."""

    use: str
    path: Path | None = None  # a folder; for a hub, the id of a data set or a folder of the same form
    revision: str | None = None  # of a data set on a hub
    subset: str | None = None  # of a data set on a hub that has several
    train: Names = ()  # files or globs; for a hub, names of its splits
    test: Names = ()
    selection: Annotated[int, Field(ge=1)] = 500  # training rows kept for choosing, never trained on
    licence: str = ""  # under what terms it may be used, for the bundle; no source decides or needs it

    def beside(self, folder: Path) -> Self:
        """Return the same with every file found from ``folder``; a hub's id stays unless such a folder exists."""
        found: dict[str, Any] = {}
        if self.path is not None and (self.use != "hub" or (folder / self.path).is_dir()):
            found["path"] = folder / self.path
        if self.use == "table":
            given = {split: names for split, names in self.splits().items() if names}
            found |= {split: tuple(tables.placed(name, folder) for name in names) for split, names in given.items()}
        return self.model_copy(update=found)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """The files, or the hub's names, of each split that was given."""
        return {"train": self.train, "test": self.test}

    def refuse_other_keys(self, known: Collection[str]) -> None:
        """Refuse a key that the source has no use for.

        Raises:
            BadInputError: one that was given and isn't in ``known``.

        """
        for name in sorted(self.model_fields_set - {"licence", *known}):
            raise BadInputError(f"[data] {name}: found with use = {self.use!r}, which takes {', '.join(sorted(known))}")


TABLE_KEYS = frozenset({"use", "train", "test", "columns", "selection"})
HUB_KEYS = TABLE_KEYS | {"path", "revision", "subset"}


class Origin(Protocol):
    """One way to get the tables of the splits."""

    def check(self, wanted: Mapping[str, Wanted]) -> None:
        """Refuse, quickly, what can be known without reading the rows; ``wanted`` has the columns of each split."""

    def digest(self, wanted: Mapping[str, Wanted]) -> str:
        """SHA-256 of all that the tables are made of."""

    def open(self, split: str, wanted: Wanted) -> Table:
        """The table of a split."""

    def folder(self, split: str) -> Path:
        """The folder that paths in the split's rows are relative to."""


@dataclass(frozen=True)
class Files:
    """Tables in files that the pipeline names."""

    splits: Splits
    cache: Cache

    def check(self, wanted: Mapping[str, Wanted]) -> None:
        """Refuse missing files and columns, and first rows that can't be read."""
        for split, columns in wanted.items():
            tables.check(self._paths(split), columns)

    def digest(self, wanted: Mapping[str, Wanted]) -> str:
        """SHA-256 over the files' bytes and the columns' names."""
        found = {split: tables.digest(self._paths(split)) for split in wanted}
        return hashlib.sha256(repr((found, dict(wanted))).encode()).hexdigest()

    def open(self, split: str, wanted: Wanted) -> Table:
        """Convert the files if they haven't been, and map the result into memory."""
        paths = self._paths(split)
        return tables.open_table(paths, self.cache.root, tables.check(paths, wanted))

    def folder(self, split: str) -> Path:
        """The folder of the split's files.

        Raises:
            BadInputError: they lie in several.

        """
        folders = sorted({path.parent for path in self._paths(split)})
        if len(folders) > 1:
            raise BadInputError(
                f"[data] {split}: found tables in {folders[0]} and {folders[1]}, expected one folder, "
                "from which the images' paths start"
            )
        return folders[0]

    def _paths(self, split: str) -> tuple[Path, ...]:
        return tables.expand(self.splits[split], f"[data] {split}")


@dataclass(frozen=True)
class Hub:
    """A data set on the Hugging Face hub, or a folder of the same form; code in it is never run.

    What is downloaded goes where ``huggingface_hub`` puts it (HF_HOME); the Arrow files go into ``cache``. Where the
    hub can't be reached (or HF_HUB_OFFLINE=1) they are those that lie there, or where ``datasets`` puts its own
    (HF_DATASETS_CACHE).
    """

    path: str
    revision: str | None
    subset: str | None
    splits: Splits
    cache: Cache

    def check(self, wanted: Mapping[str, Wanted]) -> None:
        """Refuse a missing library; what is in the data set is known once it is loaded, which may take a network."""
        del wanted
        if find_spec("datasets") is None:
            raise MissingExtraError("datasets", "data", "[data] use = 'hub'")
        can_be_an_id = not Path(self.path).is_absolute() and self.path.count("/") <= 1
        if not can_be_an_id and not Path(self.path).is_dir():
            raise BadInputError(f"[data] path: found no folder {self.path}")

    def digest(self, wanted: Mapping[str, Wanted]) -> str:
        """SHA-256 over the rows, so that a data set that changed under the same name is seen to have changed."""
        total = hashlib.sha256()
        for split, columns in wanted.items():
            arrow = self.open(split, columns).arrow
            total.update(f"{split} {arrow.schema.to_string()}".encode())
            for batch in arrow.to_batches(max_chunksize=CHUNK_ROWS):
                total.update(batch.serialize())
        return total.hexdigest()

    def open(self, split: str, wanted: Wanted) -> Table:
        """Load the named splits and join them, mapped into memory."""
        pa = tables.import_arrow()
        parts = [self._load(name) for name in self.splits[split]]
        where = f"data set {self.path!r}, split {' and '.join(self.splits[split])!r}"
        kept = [name for name in (*wanted.required, *wanted.optional) if name in parts[0].column_names]
        for name in wanted.required:
            Table(where, parts[0]).column(name)  # says which columns there are
        try:
            return Table(where, pa.concat_tables([part.select(kept) for part in parts]))
        except (KeyError, ValueError) as error:  # pyarrow's errors are children of these
            raise BadInputError(f"{where}: found splits with different columns: {error}") from error

    def folder(self, split: str) -> Path:
        """The data set's own folder."""
        del split
        return Path(self.path)

    def _load(self, split: str) -> Any:
        import datasets

        with _quiet(datasets):
            try:
                found = self._found(datasets, split)
            except Exception as error:  # the library has dozens of kinds, from a dozen packages
                cause = error.__cause__ or error
                raise BadInputError(
                    f"[data] path: the data set {self.path!r}, split {split!r}, can't be loaded: "
                    f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}",
                    "check the name, the split and the network; a folder or files of your own need none",
                ) from error
        table = found.data.table
        return table.replace_schema_metadata(found.features.arrow_schema.metadata)

    def _found(self, datasets: Any, split: str) -> Any:
        load = partial(datasets.load_dataset, self.path, self.subset, split=split, revision=self.revision)
        try:
            return load(cache_dir=str(self.cache.root))
        except ConnectionError:  # and not in ``cache`` either
            return load(cache_dir=str(datasets.config.HF_DATASETS_CACHE))


def origin(config: TabularConfig, cache: Cache, needed: Collection[str]) -> Origin:
    """Where the tables of ``config`` come from; it must name those of the splits ``needed``.

    Raises:
        BadInputError: no files or split names, or for a hub no path.

    """
    splits = {name: given for name, given in config.splits().items() if given}
    for name in needed:
        if name not in splits:
            expected = "a file" if config.use == "table" else "the name of a split"
            raise BadInputError(f"[data]: found use = {config.use!r} and no {name}, expected {name} = {expected}")
    if config.use == "table":
        return Files(splits, cache)
    if config.path is None:
        raise BadInputError("[data]: found use = 'hub' and no path, expected path = the data set's id or its folder")
    return Hub(str(config.path), config.revision, config.subset, splits, cache)


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """No progress bars and no log lines of the library; as it was afterwards."""
    before: int = datasets.logging.get_verbosity()
    hidden: bool = datasets.utils.are_progress_bars_disabled()
    restore: Callable[[], None] = datasets.disable_progress_bars if hidden else datasets.enable_progress_bars
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        restore()
        datasets.logging.set_verbosity(before)
