"""Weight-only INT8 for onnxruntime: a quarter of the size, computed in float.

The file gets no faster: onnxruntime turns the weights back into float. It is for models that lose too much otherwise,
and where the download counts.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.algorithms.outliers import rows_to_int8
from edgekd.errors import StageError
from edgekd.quantizers.onnx_editing import Editor, attribute

LEAST_WEIGHTS = 128  # a smaller constant saves nothing that is worth a node
WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "Gather": 0}  # the input that holds the weights


def quantize(source: Path, target: Path, keep_float: Collection[str] = (), *, per_channel: bool = True) -> None:
    """Write the float file ``source`` with weights of 8 bits, which a DequantizeLinear turns into float again.

    Per channel, each output channel (of a table: each row) has a step of its own, max|w| / 127. ``keep_float`` has
    operators ('Gather') or names of single nodes whose weights stay float.

    Raises:
        StageError: there is nothing to quantize.

    """
    editor = Editor.open(source)
    nodes = [each for each in editor.of_type(*WEIGHTED) if not {each.op_type, each.name} & set(keep_float)]
    if not sum(_quantize(editor, node, per_channel=per_channel) for node in nodes):
        raise StageError(f"{source}: found no weights of at least {LEAST_WEIGHTS} values to quantize")
    editor.save(target)


def _quantize(editor: Editor, node: Any, *, per_channel: bool) -> bool:
    from onnx import helper

    place = WEIGHTED[node.op_type]
    name = node.input[place]
    values = editor.value(name)
    if values is None or values.dtype != np.float32 or values.size < LEAST_WEIGHTS or values.ndim < 2:
        return False
    axis = _output_axis(node, values.ndim)
    rows = np.moveaxis(values, axis, 0)
    whole, steps = rows_to_int8(rows.reshape(len(rows) if per_channel else 1, -1))
    stored = np.moveaxis(whole.reshape(rows.shape), 0, axis)
    inputs = [
        editor.put(f"{name}_int8", stored),
        editor.put(f"{name}_steps", steps[:, 0] if per_channel else steps[0, 0]),
    ]
    made = helper.make_node("DequantizeLinear", inputs, [f"{name}_float"], f"{name}_float", axis=axis)
    editor.insert([made])
    editor.rename_reads([node], name, f"{name}_float")
    return True


def _output_axis(node: Any, dimensions: int) -> int:
    """The axis of the weights that counts output channels, or a table's rows."""
    match node.op_type:
        case "MatMul":
            return dimensions - 1
        case "Gemm":
            return 0 if attribute(node, "transB", 0) else 1
        case "ConvTranspose":
            return 1
        case _:
            return 0
