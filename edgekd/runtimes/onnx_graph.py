"""Describe an ONNX file: operators, shapes and work, read without running it.

onnxruntime fuses; what it fuses is not counted as an operator of its own:

* DequantizeLinear - operator - QuantizeLinear runs as one int8 operator, whatever the granularity of its scales;
* an activation or a batch normalisation after a convolution runs inside it;
* constants are folded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekd.errors import BadInputError
from edgekd.runtimes.graph import (
    Graph,
    Kind,
    Operator,
    Step,
    TensorInfo,
    activation_peak_bytes,
    elements,
    read_model,
    refuse,
    refuse_dynamic,
)
from edgekd.runtimes.onnx_work import COUNTED

NOUN = "an ONNX model"
ACTIVATIONS = {"Relu", "Clip"}
BEARERS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add"}  # what an activation is fused into
WHOLE_8 = {"QLinearConv", "ConvInteger", "MatMulInteger", "QLinearMatMul", "QGemm", "DynamicQuantizeMatMul"}
FLOAT_RESULT = {"MatMul", "Gemm"}  # these run in int8 even where no QuantizeLinear follows


@dataclass(frozen=True, slots=True)
class _Tensor:
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int


@dataclass(slots=True)
class _Fused:
    """One operator with the names of the tensors that it reads and writes once all is fused."""

    node: Any
    reads: list[str]
    writes: list[str]
    int8: bool


@dataclass(frozen=True, slots=True)
class _File:
    """The parts of an ONNX graph by name; ``constants`` are initializers and what was computed from them."""

    nodes: tuple[Any, ...]
    tensors: Mapping[str, _Tensor]
    constants: frozenset[str]
    outputs: frozenset[str]
    producers: Mapping[str, Any] = field(default_factory=dict)
    users: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def only_user(self, node: Any) -> Any | None:
        """The one node that reads what ``node`` writes, if there is exactly one and no graph output is lost."""
        users = self.users.get(node.output[0], ())
        return users[0] if len(users) == 1 and node.output[0] not in self.outputs else None


def describe(path: Path, length: int | None = None) -> Graph:
    """Count the work of the ONNX file at ``path``; weights kept in other files need not be there.

    Sizes that have a name instead of a number are taken to be ``length``: the tokens of a text.

    Raises:
        BadInputError: not an ONNX file, empty, damaged, or with dynamic shapes.

    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    content = read_model(path, NOUN)
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise refuse(path, NOUN, str(error)) from error
    if not model.graph.node or not model.opset_import:
        raise refuse(path, NOUN, "it has no operators")
    if length is not None:
        _fix(model.graph, length)
    _refuse_open_inputs(path, model.graph)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise refuse(path, NOUN, f"its shapes can't be inferred ({error})") from error
    return _graph(path, inferred, _parts(path, inferred.graph))


def _fix(graph: Any, length: int) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_value = length


def _refuse_open_inputs(path: Path, graph: Any) -> None:
    constants = {each.name for each in graph.initializer}
    for value in graph.input:
        if value.name not in constants and _shape(value) is None:
            sizes = [size.dim_param or str(size.dim_value or "?") for size in value.type.tensor_type.shape.dim]
            raise refuse_dynamic(path, value.name, f"[{', '.join(sizes) or 'of any rank'}]")


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of a tensor when every size is fixed."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    shape = tuple(int(size.dim_value) for size in value.type.tensor_type.shape.dim)
    return shape if all(size > 0 for size in shape) else None


def _parts(path: Path, graph: Any) -> _File:
    tensors = {each.name: _sized(tuple(each.dims), each.data_type) for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = _shape(value)
        if shape is not None:
            tensors.setdefault(value.name, _sized(shape, value.type.tensor_type.elem_type))
    constants = {each.name for each in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "Constant" or (node.input and all(name in constants for name in node.input if name)):
            constants.update(node.output)
        else:
            nodes.append(node)
    _refuse_unknown(path, nodes, tensors)
    outputs = frozenset(value.name for value in graph.output)
    return _linked(_File(tuple(nodes), tensors, frozenset(constants), outputs), graph)


def _linked(parts: _File, graph: Any) -> _File:
    producers = {name: node for node in graph.node for name in node.output}
    users: dict[str, list[Any]] = defaultdict(list)
    for node in parts.nodes:
        for name in dict.fromkeys(node.input):
            users[name].append(node)
    return _File(parts.nodes, parts.tensors, parts.constants, parts.outputs, producers, users)


def _sized(shape: tuple[int, ...], data_type: int) -> _Tensor:
    import onnx

    name = onnx.TensorProto.DataType.Name(data_type)
    if name in {"STRING", "UNDEFINED"}:
        return _Tensor(shape, name.lower(), 0)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    bits = 4 if name in {"INT4", "UINT4"} else dtype.itemsize * 8
    return _Tensor(shape, dtype.name, (elements(shape) * bits + 7) // 8)


def _refuse_unknown(path: Path, nodes: Sequence[Any], tensors: Mapping[str, _Tensor]) -> None:
    for node in nodes:
        if node.op_type in COUNTED and node.output[0] not in tensors:
            raise BadInputError(
                f"{path}: found the operator {node.op_type} {node.name!r} with a result of unknown shape, "
                "expected shapes that can be inferred",
                "export with fixed input shapes, or add them with onnx.shape_inference.infer_shapes",
            )


def _graph(path: Path, model: Any, parts: _File) -> Graph:
    fused = _fuse(parts)
    inputs = [value.name for value in model.graph.input if value.name not in parts.constants]
    outputs = [value.name for value in model.graph.output]
    missing = [name for name in outputs if name not in parts.tensors]
    if missing:
        raise refuse_dynamic(path, missing[0], "(unknown)")
    sizes = {name: each.size_bytes for name, each in parts.tensors.items() if name not in parts.constants}
    steps = [Step(tuple(each.reads), tuple(each.writes)) for each in fused]
    stored = {each.name for each in model.graph.initializer}
    return Graph(
        runtime="onnxruntime",
        operators=tuple(_operator(each, parts) for each in fused),
        inputs=tuple(_info(name, parts, model) for name in inputs),
        outputs=tuple(_info(name, parts, model) for name in outputs),
        activation_peak_bytes=activation_peak_bytes(steps, sizes, {*inputs, *outputs}),
        weight_bytes=sum(parts.tensors[name].size_bytes for name in stored),
        versions={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
    )


def _fuse(parts: _File) -> list[_Fused]:
    """Walk the nodes once; a node that was taken by one before it is left out."""
    taken: set[int] = set()
    whole = {id(node): _runs_in_int8(node, parts) for node in parts.nodes}
    fused = []
    for node in parts.nodes:
        if id(node) in taken or _is_carried(node, parts, whole):
            continue
        last = _follow(node, parts, taken, int8=whole[id(node)])
        reads = [_behind(name, parts) if whole[id(node)] else name for name in node.input if name]
        fused.append(_Fused(node, reads, [last] if last != node.output[0] else list(node.output), whole[id(node)]))
    return fused


def _is_carried(node: Any, parts: _File, whole: Mapping[int, bool]) -> bool:
    """Whether this is a DequantizeLinear that all the operators reading it do themselves."""
    users = parts.users.get(node.output[0], ())
    lost = node.output[0] in parts.outputs
    return node.op_type == "DequantizeLinear" and not lost and bool(users) and all(whole[id(user)] for user in users)


def _follow(node: Any, parts: _File, taken: set[int], *, int8: bool) -> str:
    """Take the nodes after ``node`` that run inside it; return the name of the tensor that leaves the last one."""
    current = node
    while (after := parts.only_user(current)) is not None:
        if after.op_type == "BatchNormalization":
            inside = current.op_type in {"Conv", "ConvTranspose"}
        elif after.op_type in ACTIVATIONS:
            inside = node.op_type in BEARERS or (int8 and node.op_type in WHOLE_8)
        else:
            inside = int8 and after.op_type == "QuantizeLinear"
        if not inside:
            break
        taken.add(id(after))
        current = after
        if after.op_type == "QuantizeLinear":
            break
    return str(current.output[0])


def _behind(name: str, parts: _File) -> str:
    """The quantized tensor from which a DequantizeLinear made ``name``, else ``name``."""
    producer = parts.producers.get(name)
    return str(producer.input[0]) if producer is not None and producer.op_type == "DequantizeLinear" else name


def _runs_in_int8(node: Any, parts: _File) -> bool:
    """Whether the node multiplies integers: by its type, or standing between DequantizeLinear and QuantizeLinear."""
    if node.op_type in WHOLE_8:
        return True
    if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
        return False
    data = [name for name in node.input[:2] if name and (name not in parts.constants or name in parts.producers)]
    needed = 2 if node.op_type in COUNTED else 1
    if len(data) < needed or any(_behind(name, parts) == name for name in data):
        return False
    return node.op_type in FLOAT_RESULT or _is_quantized_after(node, parts)


def _is_quantized_after(node: Any, parts: _File) -> bool:
    after = parts.only_user(node)
    if after is not None and after.op_type in ACTIVATIONS:
        after = parts.only_user(after)
    return after is not None and after.op_type == "QuantizeLinear"


def _operator(fused: _Fused, parts: _File) -> Operator:
    node = fused.node
    position, count = COUNTED.get(node.op_type, (0, None))
    weights = [parts.tensors[name] for name in fused.reads if name in parts.constants and name in parts.tensors]
    read = [parts.tensors[name] for name in fused.reads if name not in parts.constants and name in parts.tensors]
    written = [parts.tensors[name] for name in fused.writes if name in parts.tensors]
    macs = 0 if count is None else count(parts.tensors[node.output[0]].shape, parts.tensors[node.input[position]].shape)
    return Operator(
        name=node.name or node.output[0],
        op_type=node.op_type,
        kind=_kind(node, parts),
        macs=macs,
        weights=sum(elements(tensor.shape) for tensor in weights),
        weight_bytes=sum(tensor.size_bytes for tensor in weights),
        bytes_read=sum(tensor.size_bytes for tensor in read),
        bytes_written=sum(tensor.size_bytes for tensor in written),
        int8=fused.int8,
    )


def _kind(node: Any, parts: _File) -> Kind:
    if node.op_type not in COUNTED:
        return "other"
    if "Conv" not in node.op_type:
        return "dense"
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    inputs = parts.tensors.get(node.input[0])
    return "depthwise" if groups > 1 and inputs is not None and groups == inputs.shape[1] else "conv"


def _info(name: str, parts: _File, model: Any) -> TensorInfo:
    tensor = parts.tensors[name]
    around = [*parts.users.get(name, ()), *([parts.producers[name]] if name in parts.producers else [])]
    scale, zero_point = next(
        (_scale(node, model) for node in around if node.op_type in {"QuantizeLinear", "DequantizeLinear"}), (None, None)
    )
    whole = "int" in tensor.dtype
    return TensorInfo(name, tensor.shape, tensor.dtype, scale if whole else None, zero_point if whole else None)


def _scale(node: Any, model: Any) -> tuple[float | None, int | None]:
    """The scale and zero point of a QuantizeLinear or DequantizeLinear, when there is one for the whole tensor."""
    from onnx import numpy_helper

    values = {each.name: each for each in model.graph.initializer if each.name in node.input[1:]}
    numbers = [numpy_helper.to_array(values[name]).reshape(-1) for name in node.input[1:] if name in values]
    if not numbers or any(len(number) != 1 for number in numbers):
        return None, None
    return float(numbers[0][0]), int(numbers[1][0]) if len(numbers) > 1 else 0
