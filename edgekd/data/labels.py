"""Class names and numbers out of a column of labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekd.data.columns import Column
from edgekd.data.tables import Table
from edgekd.errors import BadInputError

NOT_A_NUMBER = frozenset({"nan", "NaN", "NAN"})  # how tables spell a missing number; no class is called that by intent


@dataclass(frozen=True, slots=True)
class Labels:
    """A column of labels: text, or whole numbers.

    Attributes:
        column: its values.
        where: how an error calls it.
        declared: class names that the file gives for the numbers 0, 1, …; empty where it gives none.

    """

    column: Column
    where: str
    declared: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        """Each row's class name; a number without a declared name is its own name."""
        for row, value in enumerate(self.column):
            yield self._name(value, row)

    def _name(self, value: object, row: int) -> str:
        if isinstance(value, str) and value.strip() and value not in NOT_A_NUMBER:
            return value
        if isinstance(value, int) and not self.declared:
            return str(value).lower() if isinstance(value, bool) else str(value)
        if isinstance(value, int) and 0 <= value < len(self.declared):
            return self.declared[value]
        raise BadInputError(
            f"{self.where}: found {_spelled(value)} in row {row}, expected a label: text, or a whole number"
            + (f" from 0 to {len(self.declared) - 1}" if self.declared else ""),
            "fill it in, or leave the row out; text without labels can be given as [data] unlabelled",
        )


def of_table(table: Table, name: str) -> Labels:
    """The labels in the column ``name``."""
    return Labels(table.column(name), f"{table.where}, column {name!r}", table.declared_classes(name))


def classes(columns: Sequence[Labels]) -> tuple[str, ...]:
    """The class names: as declared, else all that occur, numbers in their order and text in that of its characters.

    Raises:
        BadInputError: a row without a label, or a label that is neither text nor a whole number.

    """
    declared = next((each.declared for each in columns if each.declared), ())
    if declared:
        return declared
    found = {name for each in columns for name in each}
    return tuple(sorted(found, key=int if all(_is_whole(name) for name in found) else str))


def numbers(labels: Labels, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Each row's place in ``names``.

    Raises:
        BadInputError: a label that isn't among them.

    """
    places = {name: place for place, name in enumerate(names)}
    found = np.empty(len(labels.column), np.int64)
    for row, name in enumerate(labels):
        if name not in places:
            raise BadInputError(f"{labels.where}: found the label {name!r} in row {row}, expected one of {names}")
        found[row] = places[name]
    return found


def _is_whole(name: str) -> bool:
    return name.isascii() and name.removeprefix("-").isdecimal()


def _spelled(value: object) -> str:
    return "nothing" if value is None or (isinstance(value, str) and not value.strip()) else repr(value)
