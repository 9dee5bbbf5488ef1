"""OutputsTable: a teacher that ran elsewhere, as a table of its outputs by row id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.softmax import improbable, logits
from edgekd.data.columns import CHUNK_ROWS
from edgekd.data.row_ids import RowIds
from edgekd.data.tables import import_arrow
from edgekd.errors import BadInputError, StageError
from edgekd.tasks.base import Outputs, Rows, Split, Task

Floats = npt.NDArray[np.float32]
ID, OUTPUT, PROBABILITIES = "id", "output", "probabilities"
SHAPE = f"a column {ID!r} and a column {OUTPUT!r} (logits or vectors) or {PROBABILITIES!r}, both of lists of numbers"
SHOWN = 3  # ids that an error names


@dataclass(frozen=True)
class OutputsTable:
    """What :func:`convert` wrote, mapped into memory: only the rows that are asked for are read."""

    ids: RowIds
    parts: tuple[Floats, ...]

    @classmethod
    def open(cls, path: Path) -> OutputsTable:
        """Map the file; its ids take 16 bytes a row."""
        pa = import_arrow()
        batches = pa.ipc.open_file(pa.memory_map(str(path))).read_all().to_batches()
        parts = tuple(batch.column(OUTPUT).flatten().to_numpy().reshape(len(batch), -1) for batch in batches)
        return cls(RowIds.of(batch.column(ID).to_pylist() for batch in batches), parts)

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> Floats:
        """Outputs (rows, width), float32, in the order of ``rows``.

        Raises:
            StageError: a view, which no table has outputs for, or a row without an output.

        """
        places = self.ids.find(task.ids(split, rows))
        if view != 0 or (places < 0).any():
            raise StageError(f"the teacher's table: found no output for some of {len(rows)} {split} rows, view {view}")
        ends = np.cumsum([len(part) for part in self.parts])
        holders = np.searchsorted(ends, places, side="right")
        found = np.empty((len(rows), self.parts[0].shape[1]), np.float32)
        for holder in np.unique(holders):
            chosen = holders == holder
            part = self.parts[holder]
            found[chosen] = part[places[chosen] - (ends[holder] - len(part))]
        return found

    def covers(self, task: Task, split: Split) -> bool:
        """Whether every row of a split has an output."""
        return not any((found < 0).any() for _, found in _found(self.ids, task, split))


def check(path: Path, task: Task) -> frozenset[Split]:
    """Return the splits that a Parquet table has outputs for, by its ids alone.

    The table has a column ``id`` of text or whole numbers, and either ``output`` (lists of one width: logits or
    vectors) or ``probabilities`` (lists, one for each class in the data's order). ``Task.ids`` says what a row is
    called: 'train/17', 'test/3' counted from 0, or the data's own ids.

    Raises:
        BadInputError: no such columns, repeated ids, a training row without an output, some of another split's rows
            without one, rows of the data that share an id.

    """
    _value_column(path)
    ids = RowIds.of(batch.column(ID).to_pylist() for batch in _batches(path, [ID]))
    _refuse_repeated(ids, path)
    taken = np.zeros(len(ids), bool)
    covered: set[Split] = set()
    for split in ("train", "test", "out_of_domain"):
        if _mark(ids, task, split, taken, path):
            covered.add(split)
    return frozenset(covered)


def convert(path: Path, target: Path, outputs: Outputs) -> int:
    """Write a Parquet table as a file that :meth:`OutputsTable.open` can map; return the outputs' width.

    Values become float32. Probabilities become logits by ln(max(p, 1e-6)), so a teacher's zero counts as 1e-6.

    Raises:
        BadInputError: outputs of different widths, NaN or missing values, numbers that are no probabilities, or
            probabilities for a task whose models give vectors.

    """
    pa = import_arrow()
    column = _value_column(path)
    if column == PROBABILITIES and outputs is not Outputs.LOGITS:
        raise BadInputError(f"{path}: found a column {PROBABILITIES!r}, expected {OUTPUT!r}: the task gives {outputs}")
    width = _width(path, column)
    schema = pa.schema([(ID, pa.string()), (OUTPUT, pa.list_(pa.float32(), width))])
    bad: list[str] = []
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in _batches(path, [ID, column]):
            values = _matrix(batch, column, width, path)
            wrong = improbable(values) if column == PROBABILITIES else ~np.isfinite(values).all(1)
            bad += [batch.column(ID)[row].as_py() for row in np.flatnonzero(wrong).tolist()]
            kept = logits(values) if column == PROBABILITIES else values
            flat = pa.FixedSizeListArray.from_arrays(pa.array(kept.reshape(-1)), width)
            writer.write_batch(pa.record_batch([batch.column(ID), flat], schema))
    if bad:
        what = "numbers that are no probabilities" if column == PROBABILITIES else "missing, NaN or infinite values"
        raise BadInputError(
            f"{path}: found {what} in {len(bad):,} rows, for example {_listed(bad[:SHOWN])}",
            "each row's probabilities must sum to 1" if column == PROBABILITIES else "repair these rows",
        )
    return width


def width(path: Path) -> int:
    """The outputs' width, by the first row that has one.

    Raises:
        BadInputError: no such columns, or no output in any row.

    """
    return _width(path, _value_column(path))


def _mark(ids: RowIds, task: Task, split: Split, taken: npt.NDArray[np.bool_], path: Path) -> bool:
    """Whether the table has the split's outputs; marks its rows as ``taken``."""
    lacking: list[str] = []
    missing = total = 0
    for names, found in _found(ids, task, split):
        have = found[found >= 0]
        if len(np.unique(have)) < len(have) or taken[have].any():
            raise _shared(names, found, taken, path)
        taken[have] = True
        absent = np.flatnonzero(found < 0)
        lacking += [names[row] for row in absent[: SHOWN - len(lacking)]]
        missing, total = missing + len(absent), total + len(found)
    if missing and (split == "train" or missing < total):
        raise BadInputError(
            f"{path}: found no output for {missing:,} of {total:,} {split} rows, for example {_listed(lacking)}",
            "add these rows to the table" if split == "train" else f"add these rows, or leave out all {split} rows",
        )
    return total > 0 and missing == 0


def _found(ids: RowIds, task: Task, split: Split) -> Iterator[tuple[Any, Rows]]:
    """The ids of a split, a few thousand at a time, with the table's row of each or -1."""
    count = task.count(split)
    for start in range(0, count, CHUNK_ROWS):
        names = task.ids(split, np.arange(start, min(start + CHUNK_ROWS, count)))
        yield names, ids.find(names)


def _shared(names: Any, found: Rows, taken: npt.NDArray[np.bool_], path: Path) -> BadInputError:
    """The error for two rows of the data that would be given the same output."""
    uses = taken + np.bincount(found[found >= 0], minlength=len(taken))
    name = names[int(np.argmax((found >= 0) & (uses[found] > 1)))]
    return BadInputError(
        f"{path}: found one output for two rows of the data with the id {name!r}, expected an id of its own for each",
        "rows of different splits need different ids too",
    )


def _refuse_repeated(ids: RowIds, path: Path) -> None:
    repeated = ids.repeated()
    if len(repeated) == 0:
        return
    row = int(repeated[0])
    names = (name for batch in _batches(path, [ID]) for name in batch.column(ID).to_pylist())
    name = next(name for number, name in enumerate(names) if number == row)
    raise BadInputError(
        f"{path}: found {len(repeated):,} rows whose id an earlier row has, the first {name!r} in row {row} "
        "(counted from 0), expected each id once",
        "keep one row for each id",
    )


def _value_column(path: Path) -> str:
    """The column that holds the outputs, after a look at the table's columns."""
    types = import_arrow().types
    schema = _open(path).schema_arrow
    kinds = dict(zip(schema.names, schema.types, strict=True))
    values = [name for name in (OUTPUT, PROBABILITIES) if name in kinds]
    listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) or "no columns"
    if ID not in kinds or len(values) != 1:
        raise BadInputError(f"{path}: found {listed}, expected {SHAPE}")
    if not (types.is_string(kinds[ID]) or types.is_large_string(kinds[ID]) or types.is_integer(kinds[ID])):
        raise BadInputError(f"{path}: found ids of type {kinds[ID]}, expected text or whole numbers")
    kind = kinds[values[0]]
    number = getattr(kind, "value_type", None)
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not (types.is_floating(number) or types.is_integer(number)):
        raise BadInputError(f"{path}: found a column {values[0]!r} of type {kind}, expected {SHAPE}")
    return values[0]


def _open(path: Path) -> Any:
    pa = import_arrow()
    from pyarrow import parquet

    try:
        found = parquet.ParquetFile(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(f"{path}: found a file that can't be read as Parquet: {error}") from error
    if found.metadata.num_rows == 0:
        raise BadInputError(f"{path}: found no rows, expected an output for each training row")
    return found


def _batches(path: Path, columns: list[str]) -> Iterator[Any]:
    """Some thousand rows of the columns at a time, their ids as text."""
    pa = import_arrow()
    try:
        for batch in _open(path).iter_batches(CHUNK_ROWS, columns=columns):
            names = batch.column(ID).cast(pa.string())
            if names.null_count:
                raise BadInputError(f"{path}: found rows without an id, expected one in each")
            yield pa.record_batch([names, *(batch.column(each) for each in columns[1:])], columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(f"{path}: found a damaged Parquet file: {error}") from error


def _width(path: Path, column: str) -> int:
    """The width of the first output that there is."""
    for batch in _batches(path, [ID, column]):
        widths = _widths(batch, column)
        if (widths > 0).any():
            return int(widths[np.argmax(widths > 0)])
    raise BadInputError(f"{path}: found no output in any row of the column {column!r}")


def _widths(batch: Any, column: str) -> npt.NDArray[np.int64]:
    """How many values each row of a batch has, 0 for one without a list."""
    from pyarrow import compute

    found = compute.list_value_length(batch.column(column)).fill_null(0)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def _matrix(batch: Any, column: str, width: int, path: Path) -> Floats:
    """The lists of a batch as (rows, width), NaN where a value is missing."""
    widths = _widths(batch, column)
    other = (widths != width) & (widths > 0)
    if other.any():
        row = int(np.argmax(other))
        name = batch.column(ID)[row].as_py()
        raise BadInputError(f"{path}: found {widths[row]} values in the row {name!r}, expected {width} as in the first")
    values = np.full((len(batch), width), np.nan, np.float32)
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite, and is refused as such
        flat = batch.column(column).flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    values[widths > 0] = flat.reshape(-1, width)
    return values


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
