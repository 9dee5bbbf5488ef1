"""The step of a model's output: by how much it changes where the last whole number changes by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"})  # values stay as they are
SHAPING_TFLITE = frozenset({"RESHAPE", "SQUEEZE", "TRANSPOSE", "EXPAND_DIMS"})


def output_step(path: Path) -> float | None:
    """The scale with which the first output of a file was rounded last; None where it comes from float operators."""
    return _tflite(path) if path.suffix == ".tflite" else _onnx(path)


def _onnx(path: Path) -> float | None:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    made = {name: node for node in graph.node for name in node.output}
    constants = {each.name: each for each in graph.initializer}
    node = made.get(graph.output[0].name)
    while node is not None and node.op_type in SHAPING:
        node = made.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear" or node.input[1] not in constants:
        return None
    return float(np.max(numpy_helper.to_array(constants[node.input[1]])))


def _tflite(path: Path) -> float | None:
    from edgekd.runtimes.tflite_graph import describe

    graph = describe(path)
    return graph.outputs[0].scale or None if graph.outputs[0].dtype != "float32" else _before_float(path)


def _before_float(path: Path) -> float | None:
    """The scale of the tensor that the last operator but those of shape turns into float."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    made = {int(place): each for each in graph.operators for place in each.outputs}
    operator = made.get(int(graph.outputs[0]))
    while operator is not None:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        before = int(operator.inputs[0])
        if kind == "DEQUANTIZE":
            found = graph.tensors[before].quantization
            return float(np.max(found.scale)) if found is not None and found.scale is not None else None
        operator = made.get(before) if kind in SHAPING_TFLITE else None
    return None
