"""Give the images that an ONNX graph takes other sides, and see whether the graph still holds together.

Shape inference alone doesn't tell: it takes a product's width from its weights whatever comes in, and a reshaped
tensor's from the constant that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekd.runtimes.graph import elements
from edgekd.runtimes.onnx_shapes import shape_of
from edgekd.runtimes.onnx_work import COUNTED

Shapes = Mapping[str, tuple[int, ...]]
WITHOUT_SHAPES = {"Constant", "Shape"}  # they are settled before


def resize(graph: Any, sides: tuple[int, int]) -> None:
    """Set height and width of every input (batch, channels, height, width); forget all shapes that followed of them."""
    for value in graph.input:
        sizes = value.type.tensor_type.shape.dim
        for size, side in zip(sizes[2:4], sides, strict=False):
            size.dim_value = side
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def holds_together(graph: Any) -> bool:
    """Whether all shapes of an inferred graph are known, and each operator can do with those that it takes."""
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {value.name: shape for value in values if (shape := shape_of(value)) is not None}
    shapes.update({each.name: tuple(each.dims) for each in graph.initializer})
    nodes = [node for node in graph.node if node.op_type not in WITHOUT_SHAPES]
    known = all(name in shapes for node in nodes for name in (*node.input, *node.output) if name)
    return known and all(FITS[node.op_type](node, shapes) for node in nodes if node.op_type in FITS)


def _inner_sizes(node: Any, shapes: Shapes) -> bool:
    """(…, m, k) times (…, k, n): both have the same k."""
    left, right = (shapes[node.input[place]] for place in PRODUCTS[node.op_type])
    turned = {each.name: bool(each.i) for each in node.attribute if each.name in ("transA", "transB")}
    first = left[0] if turned.get("transA") else left[-1]
    second = right[-1] if turned.get("transB") or len(right) == 1 else right[-2]
    return first == second


def _all_values(node: Any, shapes: Shapes) -> bool:
    return elements(shapes[node.input[0]]) == elements(shapes[node.output[0]])


def _window(node: Any, shapes: Shapes) -> bool:
    """A filter isn't larger than what it slides over. Inference rounds towards zero, and so finds room for one."""
    given = {each.name: each for each in node.attribute}
    if "auto_pad" in given and given["auto_pad"].s.startswith(b"SAME"):
        return True
    sides = shapes[node.input[0]][2:]
    weights = node.input[COUNTED.get(node.op_type, (0, None))[0]]
    window = list(given["kernel_shape"].ints) if "kernel_shape" in given else list(shapes[weights][2:])
    pads = list(given["pads"].ints) if "pads" in given else [0] * 2 * len(sides)
    apart = list(given["dilations"].ints) if "dilations" in given else [1] * len(sides)
    around = [before + after for before, after in zip(pads[: len(sides)], pads[len(sides) :], strict=True)]
    reach = [(size - 1) * step + 1 for size, step in zip(window, apart, strict=True)]
    return all(side + pad >= far for side, pad, far in zip(sides, around, reach, strict=True))


# The two matrices of what multiplies them.
PRODUCTS = {
    **dict.fromkeys(("MatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "Gemm"), (0, 1)),
    "QLinearMatMul": (0, 3),
}
FITS: dict[str, Callable[[Any, Shapes], bool]] = {
    **dict.fromkeys(PRODUCTS, _inner_sizes),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv", "AveragePool", "MaxPool", "LpPool"), _window),
    "Reshape": _all_values,
}
