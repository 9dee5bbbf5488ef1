"""Give an INT8 TFLite file unsigned ends: MediaPipe takes uint8 and refuses int8."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

SHIFT = 128  # from int8 to uint8


def in_uint8(content: bytes) -> bytes:
    """Return a file with int8 ends with uint8 ones: a QUANTIZE behind each input, and one before each output."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    for number, place in enumerate(graph.inputs):
        if _is_int8(graph.tensors[place]):
            graph.inputs[number] = _unsigned_twin(model, place, "inputs")
            graph.operators.insert(0, _requantize(model, graph.inputs[number], place))
    for number, place in enumerate(graph.outputs):
        if _is_int8(graph.tensors[place]):
            graph.outputs[number] = _unsigned_twin(model, place, "outputs")
            graph.operators.append(_requantize(model, place, graph.outputs[number]))
    for buffer in model.buffers:
        if buffer.data is not None:  # arrays are packed at once, anything else byte by byte
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _is_int8(tensor: Any) -> bool:
    from ai_edge_litert.schema_py_generated import TensorType

    return bool(tensor.type == TensorType.INT8)


def _unsigned_twin(model: Any, place: int, end: str) -> int:
    """Add a tensor like that at ``place``, but unsigned; it takes over the name, and its place in the signatures."""
    from ai_edge_litert.schema_py_generated import TensorType

    tensors = model.subgraphs[0].tensors
    tensors.append(copy.copy(tensors[place]))
    twin, added = tensors[-1], len(tensors) - 1
    twin.quantization = copy.copy(twin.quantization)
    twin.quantization.zeroPoint = [int(zero) + SHIFT for zero in twin.quantization.zeroPoint]
    twin.type, twin.buffer = TensorType.UINT8, 0
    tensors[place].name += b"_int8"
    for entry in (each for signature in model.signatureDefs or () for each in getattr(signature, end)):
        if entry.tensorIndex == place:
            entry.tensorIndex = added
    return added


def _requantize(model: Any, source: int, target: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema
    from litert_quantizer.transformations.transformation_utils import add_op_code

    call = schema.OperatorT()
    call.opcodeIndex = add_op_code(schema.BuiltinOperator.QUANTIZE, model.operatorCodes)
    call.inputs, call.outputs = [source], [target]
    return call
