"""What a model computes on the way, operator by operator: a module for each kind of model, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.fingerprints import fingerprint, matches
from edgekd.algorithms.parting import Operation, first_apart
from edgekd.artifact import Kind
from edgekd.tasks.base import Arrays
from edgekd.traces import onnx_file, tflite_file, torch_module

EQUAL = 1e-4  # of a tensor's span; the same network in two runtimes differs by 1e-5 or less

Tensors = Iterable[Mapping[str, npt.NDArray[Any]]]  # by name, row by row
READERS: Mapping[Kind, Callable[[Path, Sequence[Arrays]], tuple[list[Operation], list[str], Tensors]]] = {
    Kind.TORCH: torch_module.read,
    Kind.ONNX: onnx_file.read,
    Kind.TFLITE: tflite_file.read,
}


@dataclass(frozen=True)
class Trace:
    """The operators of a model in the order in which they run, and what is known of each tensor by its name."""

    operations: list[Operation]
    inputs: list[str]
    points: Mapping[str, npt.NDArray[np.float64]]  # fingerprints of all rows, one behind the other

    def parting(self, other: Trace) -> Operation | None:
        """The first operator from which on ``other`` has nothing of what this model computes; None if there is none."""
        equal = matches(np.array(list(other.points.values())), self.points, EQUAL)
        return first_apart(self.operations, self.inputs, self.points, equal)


def trace(kind: Kind, path: Path, rows: Sequence[Arrays]) -> Trace:
    """Run a model on single ``rows``, as long as they are given, and keep what its tensors are known by."""
    return kept(*READERS[kind](path, rows))


def kept(operations: list[Operation], inputs: list[str], tensors: Tensors) -> Trace:
    """The fingerprints of ``tensors``; what is only padded counts as a part of the operator that reads it."""
    padded = {name for each in operations if each.kind.upper() == "PAD" for name in each.writes}
    points: dict[str, list[npt.NDArray[np.float64]]] = {}
    for row in tensors:
        for name, values in row.items():
            if values.size and name not in padded:
                points.setdefault(name, []).append(fingerprint(values))
    return Trace(operations, inputs, {name: np.concatenate(each) for name, each in points.items()})
