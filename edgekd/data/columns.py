"""Column: the values of a table's column, read from a memory-mapped file when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Value = TypeVar("Value")
FEW_ROWS = 32  # below it values are decoded one by one, because starting Arrow's kernel takes longer
CHUNK_ROWS = 4096  # rows that are in memory at once where a column is gone through


class Column(Sequence[Any]):
    """A lazy sequence over the chunks of an Arrow column; a row is decoded when it is asked for.

    Args:
        chunks: Arrow arrays, one after the other.
        rows: which of their rows this column has, in its order; None for all.

    """

    def __init__(self, chunks: Sequence[Any], rows: Rows | None = None) -> None:
        self._chunks = tuple(chunks)
        self._ends = np.cumsum([len(chunk) for chunk in self._chunks], dtype=np.int64)
        self._rows = rows

    def __len__(self) -> int:
        if self._rows is not None:
            return len(self._rows)
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice | Rows) -> list[Any]: ...
    def __getitem__(self, index: int | slice | Rows) -> Any:
        """The value of a row, or the list of those of a slice or an array of rows."""
        if isinstance(index, slice):
            return self.take(np.arange(*index.indices(len(self)), dtype=np.int64))
        if isinstance(index, np.ndarray):
            return self.take(index)
        return self.take(np.array([index], np.int64))[0]

    def __iter__(self) -> Iterator[Any]:
        for values in chunks(self):
            yield from values

    def take(self, rows: Rows) -> list[Any]:
        """The values of ``rows`` in their order; a negative row counts from the end.

        Raises:
            IndexError: a row that the column doesn't have.

        """
        rows = np.where(rows < 0, rows + len(self), rows)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"found a row outside a column of {len(self)}")
        places = rows if self._rows is None else self._rows[rows]
        holder = np.searchsorted(self._ends, places, side="right")
        taken: list[Any] = []
        for start, end in pairwise([0, *(np.flatnonzero(np.diff(holder)) + 1).tolist(), len(rows)]):
            taken += self._decoded(int(holder[start]), places[start:end]) if end > start else []
        return taken

    def select(self, rows: Rows) -> Column:
        """A column of ``rows`` alone, as lazy as this one."""
        return Column(self._chunks, rows if self._rows is None else self._rows[rows])

    def _decoded(self, holder: int, places: Rows) -> list[Any]:
        """The values at ``places``, which all lie in the chunk ``holder``."""
        chunk = self._chunks[holder]
        inside = places - (int(self._ends[holder]) - len(chunk))
        if len(inside) < FEW_ROWS:
            return [chunk[row].as_py() for row in inside.tolist()]
        return chunk.take(inside).to_pylist()  # type: ignore[no-any-return]


def select(values: Sequence[Value], rows: Rows) -> Sequence[Value]:
    """``rows`` of any sequence, lazily where it is a :class:`Column`.

    >>> select(["a", "b", "c"], np.array([2, 0]))
    ['c', 'a']
    """
    return values.select(rows) if isinstance(values, Column) else take(values, rows)


def take(values: Sequence[Value], rows: Rows) -> list[Value]:
    """``rows`` of any sequence, as a list."""
    return values.take(rows) if isinstance(values, Column) else [values[int(row)] for row in rows]


def chunks(values: Sequence[Value], size: int = CHUNK_ROWS) -> Iterator[list[Value]]:
    """Go through any sequence with at most ``size`` of its values in memory.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    for start in range(0, len(values), size):
        yield take(values, np.arange(start, min(start + size, len(values))))
