"""The layers of an ONNX file, prepared by onnx_static, for equalization and bias correction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.bias_correction import Window, means
from edgekd.algorithms.equalization import Linear, Values
from edgekd.quantizers import onnx_static
from edgekd.quantizers.layers import Layer, Neighbours
from edgekd.quantizers.onnx_editing import Editor, attribute
from edgekd.tasks.base import Arrays

KINDS = ("Conv", "Gemm")
BIAS = 2  # its place among a layer's inputs, if it has one
SCALABLE = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool")  # f(s x) = s f(x) for s > 0
Value = Callable[[str], npt.NDArray[Any] | None]


class OnnxLayers:
    """A float file whose convolutions (of images) and dense layers (Gemm) can be changed."""

    def __init__(self, path: Path) -> None:
        self._path, self._editor = path, Editor.open(path)
        self._nodes = {each.name: each for each in self._editor.of_type(*KINDS)}
        self.layers: Mapping[str, Layer] = _layers(self._editor, self._editor.value)

    def neighbours(self) -> Neighbours:
        """Which can be equalized."""
        pairs, left = [], defaultdict(list)
        for name in self.layers:
            behind = self._behind(self._nodes[name])
            if behind is None:
                continue
            if behind.name in self.layers and self._fits(name, behind.name):
                pairs.append((name, behind.name))
            else:
                left[behind.op_type].append(name)
        return Neighbours(pairs, dict(left))

    def mean_inputs(self, rows: Arrays) -> dict[str, npt.NDArray[Any]]:
        """What each layer reads, (channels, height, width): the mean over ``rows``."""
        found = means(onnx_static.tensors(self._path, {each.reads for each in self.layers.values()}, rows))
        return {name: _by_channel(found[each.reads]) for name, each in self.layers.items()}

    def rounded(self, path: Path) -> dict[str, npt.NDArray[Any]]:
        """The weights (O, I / groups, H, W) that the layers have in an INT8 file that was made of this one."""
        editor = Editor.open(path)
        return {name: each.linear.weights for name, each in _layers(editor, _reader(editor)).items()}

    def change(self, name: str, weights: Values | None, bias: Values | None) -> None:
        """Give a layer other weights (O, I / groups, H, W) or another bias (O,); None keeps what there is."""
        node = self._nodes[name]
        if weights is not None:
            self._put(node, 1, weights if node.op_type == "Conv" else _dense(node, weights[:, :, 0, 0]))
        if bias is not None:
            self._put(node, BIAS, bias)

    def save(self, target: Path) -> None:
        """Write the file as it is now."""
        self._editor.save(target)

    def _behind(self, node: Any) -> Any | None:
        """The first node behind ``node`` that a factor doesn't just pass; None at the end, or where several read."""
        user = self._editor.only_user(node)
        while user is not None and user.op_type in SCALABLE:
            user = self._editor.only_user(user)
        return user

    def _fits(self, before: str, behind: str) -> bool:
        """Not if positions have become channels."""
        return len(self.layers[before].linear.weights) == self.layers[behind].linear.inputs

    def _put(self, node: Any, position: int, values: npt.NDArray[Any]) -> None:
        """Give ``node`` a constant of its own, as other nodes may share the old one."""
        if len(node.input) == position:
            node.input.append("")
        node.input[position] = self._editor.put(f"{node.name}_input_{position}", values)


def _layers(editor: Editor, value: Value) -> dict[str, Layer]:
    found = (_layer(each, value) for each in editor.of_type(*KINDS))
    return {each.name: each for each in found if each is not None}


def _layer(node: Any, value: Value) -> Layer | None:
    """The node as a layer; None if its weights are no constants, or it is of a kind that isn't known here."""
    weights = value(node.input[1])
    bias = value(node.input[BIAS]) if len(node.input) > BIAS and node.input[BIAS] else None
    if weights is None:
        return None
    if node.op_type == "Gemm":
        plain = not attribute(node, "transA", 0) and attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1
        linear = Linear(_dense(node, weights)[:, :, None, None], bias)
        return Layer(node.name, node.input[0], linear, Window()) if plain else None
    if weights.ndim != 4 or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return None
    window = _window(node)
    return Layer(node.name, node.input[0], Linear(weights, bias, window.groups), window)


def _window(node: Any) -> Window:
    (down, right), (low, wide) = (attribute(node, name, (1, 1)) for name in ("strides", "dilations"))
    top, left, bottom, end = attribute(node, "pads", (0, 0, 0, 0))
    return Window((down, right), ((top, bottom), (left, end)), (low, wide), attribute(node, "group", 1))


def _dense(node: Any, weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """From the file's order to (outputs, inputs), and back."""
    return weights if attribute(node, "transB", 0) else weights.T


def _reader(editor: Editor) -> Value:
    """Constants also where they are stored in whole numbers."""

    def value(name: str) -> npt.NDArray[Any] | None:
        node = editor.producer(name)
        return editor.value(name) if node is None else _dequantized(editor, node)

    return value


def _dequantized(editor: Editor, node: Any) -> npt.NDArray[Any] | None:
    whole, step, zero = (editor.value(name) for name in (*node.input, "")[:3])
    if node.op_type != "DequantizeLinear" or whole is None or step is None:
        return None
    shape = [1] * whole.ndim
    if step.size > 1:
        shape[attribute(node, "axis", 1)] = step.size
    shift = np.zeros(shape) if zero is None else zero.astype(np.float64).reshape(shape)
    found: npt.NDArray[Any] = (whole - shift) * step.reshape(shape)
    return found


def _by_channel(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(1, C) and (1, C, H, W) as (C, H, W)."""
    found: npt.NDArray[Any] = values[0].reshape(values.shape[1], *(values.shape[2:] or (1, 1)))
    return found
