"""What a TFLite file computes on the way, by TFLite's own kernels: XNNPACK keeps nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edgekd.algorithms.parting import Operation
from edgekd.tasks.base import Arrays

Row = Mapping[str, npt.NDArray[Any]]


def read(path: Path, rows: Sequence[Arrays]) -> tuple[list[Operation], list[str], Iterator[Row]]:
    """The operators, the graph's inputs, and what each float tensor holds, row by row.

    An operator is called by what it writes: TFLite has no names for them.
    """
    from edgekd.quantizers.tflite_editing import NOTHING, Editor

    editor = Editor.open(path)

    def named(places: Any) -> tuple[str, ...]:
        return tuple(editor.name(place) for place in places if place != NOTHING)

    operations = [
        Operation(editor.name(each.outputs[0]), editor.kind(each), named(each.inputs), named(each.outputs))
        for each in editor.operators
    ]
    return operations, list(named(editor.graph.inputs)), _floats(path, rows)


def _floats(path: Path, rows: Sequence[Arrays]) -> Iterator[Row]:
    from edgekd.quantizers import tflite_static

    for row in rows:
        for tensors in tflite_static.tensors(path, row):
            yield {name: values for name, values in tensors.items() if values.dtype.kind == "f"}
