"""Tables in CSV, TSV, JSON lines or Parquet, kept as one memory-mapped Arrow file: memory doesn't grow with the rows.

CSV and JSON lines are read by the standard library and not by ``datasets``, which fills ragged rows without a word,
takes the text 'NA' for a missing one and needs a second to import; see records.py.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from edgekd.data import records
from edgekd.data.columns import CHUNK_ROWS, Column
from edgekd.errors import BadInputError, MissingExtraError, nearest

FORMAT = 1  # raised when the same files give another Arrow file


@dataclass(frozen=True, slots=True)
class Wanted:
    """The columns that are looked for: those that must be there, and those that are taken where they are."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by column.

    Attributes:
        where: how an error calls it.
        arrow: the memory-mapped ``pyarrow.Table``.

    """

    where: str
    arrow: Any

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(self.arrow.column_names)

    def column(self, name: str) -> Column:
        """A column, of which nothing is read yet.

        Raises:
            BadInputError: no such column.

        """
        if name not in self.columns:
            raise _missing(self.where, name, self.columns)
        return Column(self.arrow.column(name).chunks)

    def text(self, name: str) -> Column:
        """A column of text.

        Raises:
            BadInputError: no such column, or one that holds something else.

        """
        column = self.column(name)
        kind = self.arrow.schema.field(name).type
        if not _is_text(kind):
            raise BadInputError(f"{self.where}: found a column {name!r} of type {kind}, expected text")
        return column

    def declared_classes(self, name: str) -> tuple[str, ...]:
        """The class names that the file itself gives for a column of whole numbers, as ``datasets`` writes them."""
        info = json.loads((self.arrow.schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = info.get("info", {}).get("features", {}).get(name, {})
        return tuple(feature["names"]) if feature.get("_type") == "ClassLabel" else ()


def open_table(paths: tuple[Path, ...], cache: Path, columns: Sequence[str] | None = None) -> Table:
    """Open the files as one table; they are converted once, and the Arrow file is kept in ``cache``.

    Its name is a hash of the files' bytes, so that a changed file is converted again, whatever its time says.

    Args:
        paths: files with the same columns; their formats may differ where all columns are text.
        cache: an existing folder.
        columns: which ones are kept; all of the first file's where it is None.

    Raises:
        BadInputError: a file that can't be read (with the line), or whose columns or their types differ.

    """
    pa = import_arrow()
    kept = names(_readable(paths[0])) if columns is None else tuple(columns)
    check(paths, Wanted(kept))
    recipe = json.dumps([FORMAT, kept, digest(paths)])
    file = cache / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.arrow"
    if not file.is_file():
        _convert(paths, kept, file)
    where = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return Table(where, pa.ipc.open_file(pa.memory_map(str(file))).read_all())


def check(paths: tuple[Path, ...], wanted: Wanted) -> tuple[str, ...]:
    """Refuse, quickly, what each file's beginning shows; return the columns that all of them have.

    Raises:
        BadInputError: no such file, none of the formats, no rows, a column that is missing, a bad first row.

    """
    if find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "build", "a table")
    found = [_check(path, wanted.required) for path in paths]
    return (*wanted.required, *(name for name in wanted.optional if all(name in each for each in found)))


def names(path: Path) -> tuple[str, ...]:
    """The columns of a file, without reading its rows."""
    if records.ending(path) == records.PARQUET:
        return tuple(_parquet(path).schema_arrow.names)
    return records.names(path)


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 over the files' formats and bytes; where they lie and what they are called decides nothing."""
    total = hashlib.sha256()
    for path in paths:
        with _readable(path).open("rb") as file:
            total.update(records.ending(path).encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def expand(patterns: Sequence[str], where: str) -> tuple[Path, ...]:
    """The files that ``patterns`` name: paths, or globs such as 'part-*.csv', each in sorted order.

    Raises:
        BadInputError: a pattern that no file matches.

    """
    found: list[Path] = []
    for pattern in patterns:
        matches = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (patterns may be absolute)
        if not matches:
            beside = [path.name for path in Path(pattern).parent.glob("*") if path.is_file()]
            raise BadInputError(
                f"{where}: found no file {pattern}", nearest(Path(pattern).name, beside) if beside else ""
            )
        found += map(Path, matches)
    return tuple(found)


def placed(name: str, folder: Path) -> str:
    """``name`` as a path or glob below ``folder``, whose own brackets and stars stay literal."""
    if (folder / name).is_file() or not glob.has_magic(name):
        return str(folder / name)
    return str(Path(glob.escape(str(folder))) / name)


def import_arrow() -> Any:
    """Import pyarrow, which only tables need.

    Raises:
        MissingExtraError: it is not installed.

    """
    try:
        import pyarrow.ipc
    except ImportError:
        raise MissingExtraError("pyarrow", "build", "a table") from None
    return pyarrow


def _check(path: Path, required: tuple[str, ...]) -> tuple[str, ...]:
    _readable(path)
    found = names(path)
    for name in required:
        if name not in found:
            raise _missing(str(path), name, found)
    if records.ending(path) != records.PARQUET:
        records.look(path, required)
    return found


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise BadInputError(f"{path}: found no such file")
    if path.stat().st_size == 0:
        raise BadInputError(f"{path}: found an empty file, expected at least one row")
    return path


def _missing(where: str, name: str, found: Sequence[str]) -> BadInputError:
    listed = ", ".join(repr(each) for each in found)
    hint = nearest(name, found) if found else ""
    return BadInputError(
        f"{where}: found no column {name!r}, only {listed or 'none'}",
        f"{hint} Columns are named in [data] columns = {{ … }}; CSV has the names in its first line.",
    )


def _parquet(path: Path) -> Any:
    import_arrow()
    from pyarrow import parquet

    try:
        found = parquet.ParquetFile(path, pre_buffer=False)
    except (ValueError, OSError) as error:  # pyarrow's own errors are children of these
        raise BadInputError(f"{path}: found a file that can't be read as Parquet: {error}") from error
    if found.metadata.num_rows == 0:
        raise BadInputError(f"{path}: found no rows, expected at least one")
    return found


def _convert(paths: tuple[Path, ...], columns: tuple[str, ...], file: Path) -> None:
    """Write the rows in chunks beside ``file``, and put them in place whole."""
    pa = import_arrow()
    handle, partial = tempfile.mkstemp(dir=file.parent, suffix=".partial")
    os.close(handle)
    try:
        batches = _alike(paths, columns)
        first = next(batches)
        with pa.OSFile(partial, "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)
        os.replace(partial, file)
    finally:
        Path(partial).unlink(missing_ok=True)


def _alike(paths: tuple[Path, ...], columns: tuple[str, ...]) -> Iterator[Any]:
    """The batches of all files; refuses a file whose columns have other types than the first one's."""
    schema = None
    for path in paths:
        count = 0
        for batch in _batches(path, columns):
            schema = schema or batch.schema
            if not batch.schema.equals(schema):
                raise BadInputError(
                    f"{path}: found columns of the types {[str(kind) for kind in batch.schema.types]}, expected "
                    f"{[str(kind) for kind in schema.types]} as in {paths[0]}"
                )
            count += len(batch)
            yield batch.replace_schema_metadata(schema.metadata)
        if count == 0:
            raise BadInputError(f"{path}: found no rows, expected at least one")


def _batches(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    pa = import_arrow()
    if records.ending(path) == records.PARQUET:
        file = _parquet(path)
        for batch in file.iter_batches(CHUNK_ROWS, columns=list(columns)):
            chosen = batch.select(list(columns))
            kinds = [pa.string() if _is_text(kind) else kind for kind in chosen.schema.types]
            plain = chosen.cast(pa.schema(zip(columns, kinds, strict=True)))
            yield plain.replace_schema_metadata(file.schema_arrow.metadata)
        return
    schema = pa.schema([(name, pa.string()) for name in columns])
    rows = records.read(path, columns)
    while some := list(islice(rows, CHUNK_ROWS)):
        yield pa.record_batch([pa.array(cells, pa.string()) for cells in zip(*some, strict=True)], schema)


def _is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of its forms of text, a category of texts included."""
    pa = import_arrow()
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner))
