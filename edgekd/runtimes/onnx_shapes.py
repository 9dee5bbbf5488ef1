"""Infer the shapes of all tensors of an ONNX file, for texts of a given length where it takes any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.runtimes.graph import Length, refuse

# What writes a tensor of its first input's shape, which onnx's own inference doesn't know. Compress may write less:
# a text whose tokens are all kept is what is counted.
ALIKE = {"MultiHeadAttention", "SkipLayerNormalization", "BiasGelu", "FastGelu", "QuickGelu", "Compress"}
ROUNDS = 8  # of inference; each one settles what the shapes of the one before decide


def fix(graph: Any, length: Length) -> None:
    """Give sizes of inputs that have a name, not a number, this ``length``; forget all shapes stored without it."""
    sizes = length if isinstance(length, Mapping) else {}
    for value in graph.input:
        for size in value.type.tensor_type.shape.dim:
            if isinstance(length, int) and size.dim_param:
                size.dim_value = length
            elif size.dim_param in sizes:
                size.dim_value = sizes[size.dim_param]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def with_shapes(path: Path, model: Any, noun: str) -> Any:
    """Return ``model``, whose inputs have fixed shapes, with those of its other tensors as far as they can be known.

    Raises:
        BadInputError: shapes that contradict each other.

    """
    import onnx

    shadow = type(model)()
    shadow.CopyFrom(model)
    for node in shadow.graph.node:
        _stand_in(node)
    try:
        for _ in range(ROUNDS):
            shadow = onnx.shape_inference.infer_shapes(shadow, data_prop=True)
            if not _settle(shadow.graph):
                break
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise refuse(path, noun, f"its shapes can't be inferred ({error})") from error
    for name in ("value_info", "output"):
        mine = getattr(model.graph, name)
        del mine[:]
        mine.extend(getattr(shadow.graph, name))
    return model


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a tensor when every size is fixed."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    shape = tuple(int(size.dim_value) for size in value.type.tensor_type.shape.dim)
    return shape if all(size > 0 for size in shape) else None


def _stand_in(node: Any) -> None:
    if node.op_type in ALIKE and not (node.op_type == "Compress" and not node.attribute):
        del node.input[1:], node.output[1:], node.attribute[:]
        node.op_type, node.domain = "Identity", ""


def _settle(graph: Any) -> bool:
    """Turn what is known by now into constants and shapes; whether there was anything."""
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {value.name: shape for value in values if (shape := shape_of(value)) is not None}
    shapes.update({each.name: tuple(each.dims) for each in graph.initializer})
    known = len(graph.node), len(graph.value_info)
    for position in reversed(range(len(graph.node))):
        node = graph.node[position]
        if node.op_type == "Shape" and node.input[0] in shapes:
            _store(graph, node, shapes[node.input[0]])
            del graph.node[position]
        elif node.op_type == "MatMulNBits" and node.input[0] in shapes and node.output[0] not in shapes:
            _state(graph, node, shapes[node.input[0]])
    return known != (len(graph.node), len(graph.value_info))


def _store(graph: Any, node: Any, shape: Sequence[int]) -> None:
    """The constant that a Shape node writes."""
    from onnx import TensorProto, helper

    part = {each.name: each.i for each in node.attribute}
    sizes = list(shape)[part.get("start", 0) : part.get("end", len(shape))]
    graph.initializer.append(helper.make_tensor(node.output[0], TensorProto.INT64, [len(sizes)], sizes))


def _state(graph: Any, node: Any, shape: Sequence[int]) -> None:
    """The shape of a product with packed weights: its width is an attribute."""
    from onnx import TensorProto, helper

    width = next(each.i for each in node.attribute if each.name == "N")
    graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [*shape[:-1], width]))
