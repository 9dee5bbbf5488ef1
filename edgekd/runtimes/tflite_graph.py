"""Describe a TFLite file: operators, shapes and work, read from its FlatBuffer without running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.errors import MissingExtraError
from edgekd.runtimes.graph import (
    Graph,
    Kernel,
    Kind,
    Operator,
    Step,
    TensorInfo,
    activation_peak_bytes,
    elements,
    read_model,
    refuse,
    refuse_dynamic,
    refusing_damage,
)

NOUN = "a TFLite model"
IDENTIFIER = b"TFL3"  # bytes 4 to 8 of a TFLite FlatBuffer
WIDTHS = ((64, "FLOAT64 INT64 UINT64 COMPLEX64"), (32, "FLOAT32 INT32 UINT32"), (16, "FLOAT16 BFLOAT16 INT16 UINT16"))
NARROW = ((8, "INT8 UINT8 BOOL"), (4, "INT4 UINT4"), (2, "INT2"))
BITS = {name: bits for bits, names in (*WIDTHS, *NARROW) for name in names.split()}
WHOLE_8 = {"INT8", "UINT8", "INT4", "INT2"}  # weights of fewer bits are multiplied as 8-bit integers


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None

    @property
    def size_bytes(self) -> int:
        # Of shapes and not of buffers: some writers keep buffers outside the FlatBuffer.
        return (elements(self.shape) * BITS.get(self.dtype, 0) + 7) // 8

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.name, self.shape, self.dtype.lower(), self.scale, self.zero_point)


@dataclass(frozen=True, slots=True)
class _Call:
    """One operator before it is counted."""

    op_type: str
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]
    constants: frozenset[str]


def describe(path: Path) -> Graph:
    """Count the work of the first subgraph of the TFLite file at ``path``.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        BadInputError: not a TFLite file, empty, damaged, or with dynamic shapes.

    """
    schema = _schema()
    content = read_model(path, NOUN)
    if content[4:8] != IDENTIFIER:
        raise refuse(path, NOUN, "it does not have the identifier TFL3")
    with refusing_damage(path, NOUN):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        return _describe(path, model, schema)


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingExtraError("ai-edge-litert", "litert", "reading a .tflite file") from error
    return schema_py_generated


def _describe(path: Path, model: Any, schema: Any) -> Graph:
    if not model.subgraphs or not model.subgraphs[0].operators:
        raise refuse(path, NOUN, "it has no operators")
    subgraph = model.subgraphs[0]
    tensors = [_tensor(path, each, schema) for each in subgraph.tensors]
    inputs, outputs = _pick(tensors, subgraph.inputs), _pick(tensors, subgraph.outputs)
    made = {index for each in subgraph.operators for index in each.outputs}
    free = {*made, *subgraph.inputs, *(i for i, each in enumerate(subgraph.tensors) if each.isVariable)}
    constants = frozenset(tensor.name for index, tensor in enumerate(tensors) if index not in free)
    names = _names(schema.BuiltinOperator)
    codes = [_op_type(code, names) for code in model.operatorCodes]
    calls = [
        _Call(codes[each.opcodeIndex], _pick(tensors, each.inputs), _pick(tensors, each.outputs), constants)
        for each in subgraph.operators
    ]
    sizes = {tensor.name: tensor.size_bytes for tensor in tensors if tensor.name not in constants}
    used = {tensor.name: tensor.size_bytes for call in calls for tensor in call.inputs if tensor.name in constants}
    return Graph(
        runtime="tflite",
        operators=tuple(_operator(call) for call in calls),
        inputs=tuple(tensor.info for tensor in inputs),
        outputs=tuple(tensor.info for tensor in outputs),
        activation_peak_bytes=activation_peak_bytes(
            [_step(call) for call in calls], sizes, {tensor.name for tensor in (*inputs, *outputs)}
        ),
        weight_bytes=sum(used.values()),
        versions={"schema": model.version, **_versions(codes, model.operatorCodes)},
    )


def _versions(codes: Sequence[str], entries: Sequence[Any]) -> dict[str, int]:
    pairs = sorted(zip(codes, (entry.version for entry in entries), strict=True))
    return dict(pairs)  # the highest version of an operator is the last


def _names(numbers: Any) -> dict[int, str]:
    return {value: name for name, value in vars(numbers).items() if isinstance(value, int)}


def _op_type(code: Any, names: dict[int, str]) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # old files fill only the 8-bit field
    name = names.get(number, f"BUILTIN_{number}")
    return f"{name}:{bytes(code.customCode).decode('utf-8', 'replace')}" if code.customCode is not None else name


def _tensor(path: Path, entry: Any, schema: Any) -> _Tensor:
    name = bytes(entry.name or b"").decode("utf-8", "replace")
    shape = _whole(entry.shape)
    signature = _whole(entry.shapeSignature) or shape
    if any(size <= 0 for size in (*shape, *signature)):
        raise refuse_dynamic(path, name, str(list(signature)))
    quantization = entry.quantization
    scales = _list(quantization.scale) if quantization else []
    zeros = _list(quantization.zeroPoint) if quantization else []
    single = len(scales) == 1
    return _Tensor(
        name,
        shape,
        _names(schema.TensorType)[entry.type],
        float(scales[0]) if single else None,
        int(zeros[0]) if single and zeros else None,
    )


def _list(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _whole(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in _list(values))


def _pick(tensors: Sequence[_Tensor], indices: Any) -> tuple[_Tensor, ...]:
    return tuple(tensors[index] for index in _list(indices) if index >= 0)  # -1: an input that is left out


def _step(call: _Call) -> Step:
    return Step(tuple(tensor.name for tensor in call.inputs), tuple(tensor.name for tensor in call.outputs))


def _operator(call: _Call) -> Operator:
    kind, count = COUNTED.get(call.op_type, ("other", _none))
    weights = [tensor for tensor in call.inputs if tensor.name in call.constants]
    activations = [tensor for tensor in call.inputs if tensor.name not in call.constants]
    return Operator(
        name=call.outputs[0].name if call.outputs else call.op_type,
        op_type=call.op_type,
        kind=kind,
        macs=count(call),
        weights=sum(elements(tensor.shape) for tensor in weights),
        weight_bytes=sum(tensor.size_bytes for tensor in weights),
        bytes_read=sum(tensor.size_bytes for tensor in activations),
        bytes_written=sum(tensor.size_bytes for tensor in call.outputs),
        int8=_is_int8(call, kind),
        kernel=_kernel(call) if kind == "conv" else None,
    )


def _kernel(call: _Call) -> Kernel:
    """From weights (outputs, …, inputs per group); CONV_3D's are (…, inputs, outputs)."""
    weights = call.inputs[1].shape
    if call.op_type == "CONV_3D":
        return Kernel(elements(weights[:3]), weights[3], weights[4])
    return Kernel(elements(weights[1:-1]), weights[-1], weights[0])


def _is_int8(call: _Call, kind: Kind) -> bool:
    """Weights decide: with float activations, TFLite quantizes those while it runs ('dynamic range')."""
    if kind == "other":
        return bool(call.outputs) and call.outputs[0].dtype in WHOLE_8
    second = call.inputs[1] if len(call.inputs) > 1 else call.inputs[0]
    return second.dtype in WHOLE_8


def _none(_call: _Call) -> int:
    return 0


def _convolution(call: _Call) -> int:
    """Every output value is a product with one filter: weights (outputs, height, width, inputs per group)."""
    return elements(call.outputs[0].shape) * elements(call.inputs[1].shape[1:])


def _depthwise(call: _Call) -> int:
    """Every output value is a product with one plane: weights (1, height, width, outputs)."""
    return elements(call.outputs[0].shape) * elements(call.inputs[1].shape[1:3])


def _dense(call: _Call) -> int:
    """Every output value is a product with one row: weights (outputs, inputs)."""
    return elements(call.outputs[0].shape) * call.inputs[1].shape[-1]


def _matrices(call: _Call) -> int:
    """(…, m, k) times (…, k, n): m n k, whichever of them is stored transposed."""
    first, second, out = (elements(tensor.shape) for tensor in (call.inputs[0], call.inputs[1], call.outputs[0]))
    rows, columns = call.outputs[0].shape[-2:]
    batch = out // (rows * columns)
    return out * max(first // (batch * rows), second // (elements(call.inputs[1].shape[:-2]) * columns))


def _transposed(call: _Call) -> int:
    """Every input value goes into one filter: inputs (shape, weights (outputs, height, width, inputs), values)."""
    return elements(call.inputs[2].shape) * elements(call.inputs[1].shape[:3])


COUNTED: dict[str, tuple[Kind, Callable[[_Call], int]]] = {
    "CONV_2D": ("conv", _convolution),
    "CONV_3D": ("conv", lambda call: elements(call.outputs[0].shape) * elements(call.inputs[1].shape[:4])),
    "DEPTHWISE_CONV_2D": ("depthwise", _depthwise),
    "TRANSPOSE_CONV": ("conv", _transposed),
    "FULLY_CONNECTED": ("dense", _dense),
    "BATCH_MATMUL": ("dense", _matrices),
}
