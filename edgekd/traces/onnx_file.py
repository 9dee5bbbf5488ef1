"""What an ONNX file computes on the way. With all tensors given out, onnxruntime fuses no operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy.typing as npt

from edgekd.algorithms.parting import Operation
from edgekd.tasks.base import Arrays

Row = Mapping[str, npt.NDArray[Any]]


def read(path: Path, rows: Sequence[Arrays]) -> tuple[list[Operation], list[str], Iterator[Row]]:
    """The operators, the graph's inputs, and what each float tensor holds, row by row."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    floats = {each.name for each in known if each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    operations = [
        Operation(node.name or f"{node.op_type} {number}", node.op_type, _named(node.input), _named(node.output))
        for number, node in enumerate(graph.node)
    ]
    return operations, [each.name for each in graph.input], _tensors(path, floats, rows)


def _tensors(path: Path, names: set[str], rows: Sequence[Arrays]) -> Iterator[Row]:
    import onnx

    from edgekd.quantizers.onnx_static import Watcher, giving_out

    with TemporaryDirectory() as folder:
        watched = Path(folder) / path.name
        onnx.save(giving_out(onnx.load(path), names), watched)
        watcher = Watcher(watched, 1)
        for row in rows:
            yield watcher.of_row(names, row)


def _named(names: Any) -> tuple[str, ...]:
    return tuple(name for name in names if name)
