"""Describe an ONNX file: operators, shapes and work, read without running it.

onnxruntime fuses; what it fuses (``edgekd.runtimes.onnx_fused``) is not counted as an operator of its own, nor are
constants that it folds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.errors import BadInputError
from edgekd.runtimes.graph import (
    Graph,
    Kernel,
    Kind,
    Length,
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
from edgekd.runtimes.onnx_fused import File, Fused, Tensor, fuse
from edgekd.runtimes.onnx_shapes import fix, shape_of, with_shapes
from edgekd.runtimes.onnx_sides import holds_together, resize
from edgekd.runtimes.onnx_work import COUNTED

NOUN = "an ONNX model"


def describe(path: Path, length: Length | None = None) -> Graph:
    """Count the work of the ONNX file at ``path``; weights kept in other files need not be there.

    Sizes that have a name instead of a number are taken to be ``length``: the tokens of a text, or each by its name.

    Raises:
        BadInputError: not an ONNX file, empty, damaged, or with dynamic shapes.

    """
    model = _read(path)
    with refusing_damage(path, NOUN):
        if length is not None:
            fix(model.graph, length)
        _refuse_open_inputs(path, model.graph)
        return _described(path, model)


def resized(path: Path, sides: tuple[int, int]) -> Graph | None:
    """The same for images of other ``sides`` (height, width); None where the graph doesn't take them as it stands.

    Raises:
        BadInputError: not an ONNX file, empty or damaged.

    """
    model = _read(path)
    try:
        with refusing_damage(path, NOUN):
            resize(model.graph, sides)
            found = _described(path, model)
            return found if holds_together(model.graph) else None
    except BadInputError:  # shapes that contradict each other
        return None


def _read(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    content = read_model(path, NOUN)
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise refuse(path, NOUN, str(error)) from error
    if not model.graph.node or not model.opset_import:
        raise refuse(path, NOUN, "it has no operators")
    return model


def _described(path: Path, model: Any) -> Graph:
    """``model`` has its inputs' shapes, and gets those of the other tensors."""
    inferred = with_shapes(path, model, NOUN)
    return _graph(path, inferred, _parts(path, inferred.graph))


def _refuse_open_inputs(path: Path, graph: Any) -> None:
    constants = {each.name for each in graph.initializer}
    for value in graph.input:
        if value.name not in constants and shape_of(value) is None:
            sizes = [size.dim_param or str(size.dim_value or "?") for size in value.type.tensor_type.shape.dim]
            raise refuse_dynamic(path, value.name, f"[{', '.join(sizes) or 'of any rank'}]")


def _parts(path: Path, graph: Any) -> File:
    tensors = {each.name: _sized(tuple(each.dims), each.data_type) for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = shape_of(value)
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
    return _linked(File(tuple(nodes), tensors, frozenset(constants), outputs), graph)


def _linked(parts: File, graph: Any) -> File:
    producers = {name: node for node in graph.node for name in node.output}
    users: dict[str, list[Any]] = defaultdict(list)
    for node in parts.nodes:
        for name in dict.fromkeys(node.input):
            users[name].append(node)
    return File(parts.nodes, parts.tensors, parts.constants, parts.outputs, producers, users)


def _sized(shape: tuple[int, ...], data_type: int) -> Tensor:
    import onnx

    name = onnx.TensorProto.DataType.Name(data_type)
    if name in {"STRING", "UNDEFINED"}:
        return Tensor(shape, name.lower(), 0)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    bits = 4 if name in {"INT4", "UINT4"} else dtype.itemsize * 8
    return Tensor(shape, dtype.name, (elements(shape) * bits + 7) // 8)


def _refuse_unknown(path: Path, nodes: Sequence[Any], tensors: Mapping[str, Tensor]) -> None:
    for node in nodes:
        if node.op_type in COUNTED and node.output[0] not in tensors:
            raise BadInputError(
                f"{path}: found the operator {node.op_type} {node.name!r} with a result of unknown shape, "
                "expected shapes that can be inferred",
                "export with fixed input shapes, or add them with onnx.shape_inference.infer_shapes",
            )


def _graph(path: Path, model: Any, parts: File) -> Graph:
    fused = fuse(parts)
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


def _operator(fused: Fused, parts: File) -> Operator:
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
        kernel=_kernel(node, parts.tensors[node.input[position]].shape) if "Conv" in node.op_type and count else None,
    )


def _kernel(node: Any, weights: tuple[int, ...]) -> Kernel:
    """From weights (outputs, inputs per group, height, width); those of a transposed convolution begin with inputs."""
    first, second = weights[:2]
    inputs, outputs = (first, second) if "Transpose" in node.op_type else (second, first)
    return Kernel(elements(weights[2:]), inputs, outputs)


def _kind(node: Any, parts: File) -> Kind:
    if node.op_type not in COUNTED:
        return "other"
    if "Conv" not in node.op_type:
        return "dense"
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    inputs = parts.tensors.get(node.input[0])
    return "depthwise" if groups > 1 and inputs is not None and groups == inputs.shape[1] else "conv"


def _info(name: str, parts: File, model: Any) -> TensorInfo:
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
