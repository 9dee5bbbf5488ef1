"""The products of an ONNX text encoder, and fixed ranges for what they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.algorithms.outliers import rows_to_int8
from edgekd.algorithms.ranges import Range
from edgekd.quantizers.onnx_editing import Editor
from edgekd.quantizers.onnx_fusion import runner
from edgekd.quantizers.onnx_outliers import Rows, unpadded
from edgekd.quantizers.products import Call, Dense, Values, watched

LEVELS, SEVEN_BITS = 255, 64


def watch(source: Path, rows: Rows) -> list[Dense]:
    """Run the float file on ``rows``, of which padding is left out, and return its products with what they read."""
    calls = list(_calls(Editor.open(source)))
    return watched(calls, _rows(source, sorted({each.reads for each in calls}), rows), by_token=False)


def _rows(source: Path, names: list[str], rows: Rows) -> Iterator[dict[str, Values]]:
    run = runner(source, names)
    for row in unpadded(rows):
        yield {name: values.reshape(-1, values.shape[-1]) for name, values in zip(names, run(row), strict=True)}


def _calls(editor: Editor) -> Iterator[Call]:
    for node in editor.of_type("MatMul"):
        weights = editor.value(node.input[1])
        if node.name and weights is not None and weights.ndim == 2:
            yield Call(node.name, node.input[0], node.output[0], weights)


def fix(editor: Editor, products: Sequence[Dense], isa: str) -> None:
    """Quantize ``products`` with fixed ranges for what they read; what they write stays float.

    onnxruntime computes QuantizeLinear, DequantizeLinear and MatMul as one product of whole numbers. Arm takes signed
    activations, x86 unsigned ones; without VNNI ('x86') weights keep to 7 bits, as onnx_static has it.
    """
    nodes = {each.name: each for each in editor.of_type("MatMul")}
    for product in products:
        node = nodes[product.call.name]
        _fix_weights(editor, node, SEVEN_BITS if isa == "x86" else 127)
        name = node.input[0]
        rounded = f"{name}_rounded"
        if editor.producer(rounded) is None:
            _round(editor, name, product.read.range, signed=isa == "arm64")
        editor.rename_reads([node], name, rounded)


def _fix_weights(editor: Editor, node: Any, most: int) -> None:
    from onnx import helper

    whole, steps = rows_to_int8(editor.constant(node.input[1]).T, most)
    name = f"{node.output[0]}_weights"
    inputs = [editor.put(f"{name}_int8", whole.T), editor.put(f"{name}_steps", steps[:, 0])]
    editor.insert([helper.make_node("DequantizeLinear", inputs, [name], name, axis=1)])
    editor.rename_reads([node], node.input[1], name)


def _round(editor: Editor, name: str, found: Range, *, signed: bool) -> None:
    from onnx import helper

    low, high = found
    step = np.float32((high - low) / LEVELS or 1)
    zero = round(-low / float(step))
    stored = np.int8(zero - 128) if signed else np.uint8(zero)
    how = [editor.put(f"{name}_step", np.array(step)), editor.put(f"{name}_zero", np.array(stored))]
    nodes = [
        helper.make_node("QuantizeLinear", [name, *how], [f"{name}_whole"], f"{name}_whole"),
        helper.make_node("DequantizeLinear", [f"{name}_whole", *how], [f"{name}_rounded"], f"{name}_rounded"),
    ]
    editor.insert(nodes, after=editor.producer(name))
