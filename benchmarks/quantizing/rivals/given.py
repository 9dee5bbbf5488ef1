"""What each script of this folder is called with: FLOAT_MODEL CALIBRATION SETTING TARGET.

A script is run as a module by the Python of an environment of its own, which has nothing of edgekd's. CALIBRATION is an
.npz with the rows one by one, ROW/INPUT, named, laid out and typed as the model file takes them. SETTING is 'default',
or 'best': the best that the tool's own documentation recommends for such a model. The script writes TARGET.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, np.ndarray[Any, Any]]
MASK = "attention_mask"


@dataclass(frozen=True)
class Given:
    """The command line, read."""

    model: Path
    rows: list[Row]
    best: bool
    target: Path

    @property
    def is_text(self) -> bool:
        """Whether the model takes token ids."""
        return any(MASK in name for name in self.rows[0])


class Reader:
    """The rows in turn, as onnxruntime's calibrators ask for them, and tools that copied that interface."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.rewind()

    def get_next(self) -> Row | None:
        """The next row; None after the last."""
        return next(self._left, None)

    def rewind(self) -> None:
        """Begin again."""
        self._left: Iterator[Row] = iter(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def read() -> Given:
    """Read the command line and the rows."""
    model, calibration, setting, target = sys.argv[1:]
    rows: dict[int, Row] = defaultdict(dict)
    with np.load(calibration) as stored:
        for key in stored.files:
            number, _, name = key.partition("/")
            rows[int(number)][name] = stored[key]
    return Given(Path(model), [rows[number] for number in sorted(rows)], setting == "best", Path(target))
