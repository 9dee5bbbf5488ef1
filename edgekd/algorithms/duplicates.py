"""How many test rows were already seen in training."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Row = TypeVar("Row")
Buffer = bytes | bytearray | npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]

ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Repeat:
    """A test row, and the first training row that is the same."""

    test_row: int
    train_row: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many of ``tested`` rows occur in training too, and the first of them."""

    count: int
    tested: int
    examples: tuple[Repeat, ...]


def normalized(text: str) -> str:
    r"""Return ``text`` as it is compared: NFKC, case folded, each run of white space one space, none at the ends.

    Folding can take a character apart that NFKC had put together, hence NFKC a second time.
    Source: Unicode Standard Annex 15, https://unicode.org/reports/tr15/

    >>> normalized(" The\u00a0 ﬁrst\nSTRASSE ") == normalized("the FIRST straße")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def overlap(train: Iterable[str], test: Iterable[str], examples: int = 5) -> Overlap:
    """Count the texts of ``test`` that occur in ``train`` too, both :func:`normalized`.

    Both are read once, and of ``train`` 16 bytes a row are kept: a hash of 8, and the row. That two different texts
    share a hash has a chance of 5e-8 for a million rows on either side.

    >>> overlap(["A red kite.", "A tern."], ["a  red kite.", "A red kite", "A gull."])
    Overlap(count=1, tested=3, examples=(Repeat(test_row=0, train_row=0),))
    """
    return _overlap(train, test, lambda text: normalized(text).encode("utf-8", "surrogatepass"), examples)


def overlap_bytes(train: Iterable[Buffer], test: Iterable[Buffer], examples: int = 5) -> Overlap:
    """Count the rows of ``test``, for example images, whose bytes are those of a row of ``train``.

    Arrays have to agree in shape and type to be the same.

    >>> images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    >>> overlap_bytes(images[:2], images[1:])
    Overlap(count=1, tested=2, examples=(Repeat(test_row=0, train_row=1),))
    """
    return _overlap(train, test, _contents, examples)


def _overlap(train: Iterable[Row], test: Iterable[Row], contents: Callable[[Row], bytes], examples: int) -> Overlap:
    seen, first_rows = np.unique(np.fromiter(_hashes(train, contents), np.uint64), return_index=True)
    count, tested = 0, 0
    found: list[Repeat] = []
    for rows in _batches(test):
        hashes = np.fromiter(_hashes(rows, contents), np.uint64, len(rows))
        repeated = np.flatnonzero(np.isin(hashes, seen))
        for at in repeated[: examples - len(found)]:
            train_row = int(first_rows[np.searchsorted(seen, hashes[at])])
            found.append(Repeat(tested + int(at), train_row))
        count += len(repeated)
        tested += len(rows)
    return Overlap(count, tested, tuple(found))


def _hashes(rows: Iterable[Row], contents: Callable[[Row], bytes]) -> Iterator[int]:
    return (int.from_bytes(blake2b(contents(row), digest_size=8).digest(), "big") for row in rows)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, ROWS_AT_ONCE)):
        yield batch


def _contents(row: Buffer) -> bytes:
    if isinstance(row, np.ndarray):
        return f"{row.shape} {row.dtype.str} ".encode() + row.tobytes()
    return bytes(row)
