"""RowIds: which row of a table has an id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowIds:
    """The rows of a table by their ids, in 16 bytes a row however long the ids are.

    Ids are compared by 64-bit hashes of this process. Two of n ids share one with a probability of n^2 / 2^65, which is
    3e-8 for a million, and are then taken for a repeated id.

    >>> found = RowIds.of([["b", "a"], ["c", "a"]])
    >>> found.find(["c", "b", "x"]).tolist(), found.repeated().tolist()
    ([2, 0, -1], [3])
    """

    hashes: Rows  # ascending
    rows: Rows  # the row of each hash

    @classmethod
    def of(cls, batches: Iterable[Sequence[str]]) -> RowIds:
        """Take in the ids of a table, row after row."""
        hashes = np.concatenate([np.zeros(0, np.int64), *map(_hashed, batches)])
        rows = np.argsort(hashes, kind="stable")
        return cls(hashes[rows], rows)

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, ids: Sequence[str]) -> Rows:
        """The row of each of ``ids``, -1 for one that the table doesn't have."""
        wanted = _hashed(ids)
        if len(self) == 0:
            return np.full(len(wanted), -1)
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self) - 1)
        return np.where(self.hashes[places] == wanted, self.rows[places], -1)

    def repeated(self) -> Rows:
        """The rows whose id an earlier row has, ascending."""
        again = np.flatnonzero(self.hashes[1:] == self.hashes[:-1]) + 1
        return np.sort(self.rows[again])


def _hashed(ids: Sequence[str]) -> Rows:
    return np.fromiter(map(hash, ids), np.int64, len(ids))
