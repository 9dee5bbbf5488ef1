"""Images prepared inside the ONNX graph: the file takes bytes as a decoder gives them, and does the rest itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.bundle.manifest import ImagePreprocessing
from edgekd.bundle.onnx_metadata import parsed
from edgekd.bundle.tensors import BYTES
from edgekd.errors import BadInputError

LEAST_OPSET = 18  # ReduceSum and ReduceMin as they are used here


def with_image_prefix(model: bytes, image: ImagePreprocessing) -> bytes:
    """The ONNX file ``model`` with an input ``image_bytes``, uint8 (batch, H, W, 3), in front of its own.

    Plain operators: Cast, Transpose, Sub, Div, and where the training images were resized, a product with the weights
    of Pillow's filter for each direction before those; height and width are free then. For images of the model's size
    the outputs are those of images prepared outside, bit for bit: it is the same arithmetic. Resized ones are rounded
    after each direction as Pillow does, and so lie at most two levels of 255 from its own: which direction comes first,
    and what becomes of a half, is its choice and differs between its versions. One level is the most that was seen.

    Raises:
        BadInputError: not an ONNX file with one image as its input, or an older operator set.

    """
    loaded = parsed(model)
    graph = loaded.graph
    if len(graph.input) != 1 or len(_shape(graph.input[0])) != 4:
        raise BadInputError(
            f"found {len(graph.input)} inputs, expected one image: preprocessing can't go into the file"
        )
    opset = next(each.version for each in loaded.opset_import if each.domain in ("", "ai.onnx"))
    if opset < LEAST_OPSET:
        raise BadInputError(
            f"found the operator set {opset}, expected at least {LEAST_OPSET}: preprocessing can't go into the file"
        )
    own = graph.input[0]
    prefix = _Prefix(own.name)
    prefix.write(image, channels_first=_shape(own)[1] == 3)
    for node in reversed(prefix.nodes):
        graph.node.insert(0, node)
    graph.initializer.extend(prefix.constants)
    batch = own.type.tensor_type.shape.dim[0]
    sizes = [image.height, image.width] if image.resize == "none" else ["height", "width"]
    del graph.input[:]
    shape = [batch.dim_param or batch.dim_value, *sizes, 3]
    graph.input.append(helper.make_tensor_value_info(BYTES, TensorProto.UINT8, shape))
    onnx.checker.check_model(loaded)
    return bytes(loaded.SerializeToString(deterministic=True))


class _Prefix:
    """Nodes in a row, from the bytes to the model's own input."""

    def __init__(self, target: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._target = target

    def write(self, image: ImagePreprocessing, *, channels_first: bool) -> None:
        now = self._node("Cast", BYTES, to=TensorProto.FLOAT)
        if image.resize != "none":
            now = self._resized(self._node("Transpose", now, perm=[0, 3, 1, 2]), image)
            now = now if channels_first else self._node("Transpose", now, perm=[0, 2, 3, 1])
        elif channels_first:
            now = self._node("Transpose", now, perm=[0, 3, 1, 2])
        each = (1, 3, 1, 1) if channels_first else (1, 1, 1, 3)
        mean = self._constant("mean", np.array(image.mean, np.float32).reshape(each))
        scale = self._constant("scale", np.array(image.scale, np.float32).reshape(each))
        self._node("Div", self._node("Sub", now, mean), scale, out=self._target)

    def _resized(self, now: str, image: ImagePreprocessing) -> str:
        """``now`` (batch, 3, any height, any width) as Pillow resizes it: one direction, rounded, then the other."""
        new = self._constant("size", np.array([image.height, image.width], np.float32))
        old = self._node("Cast", self._node("Shape", now, start=2, end=4), to=TensorProto.FLOAT)
        part = old
        if image.crop == "centre":  # the largest part that has the proportions of the model's images
            part = self._node("Mul", self._node("ReduceMin", self._node("Div", old, new), keepdims=1), new)
        step = self._node("Div", part, new)
        start = self._node("Mul", self._node("Sub", old, part), self._number("half", 0.5))
        sides = [self._node("Split", each, axis=0, num_outputs=2, count=2) for each in (old, start, step)]
        down, across = (
            self._weights(axis, size, [f"{each}/{axis}" for each in sides], image)
            for axis, size in enumerate((image.height, image.width))
        )
        wide = self._rounded(self._node("MatMul", now, self._node("Transpose", across, perm=[1, 0])))
        return self._rounded(self._node("MatMul", down, wide))

    def _weights(self, axis: int, size: int, side: list[str], image: ImagePreprocessing) -> str:
        """The shares (``size``, pixels) of a triangle around the middle of each new pixel: PIL's bilinear filter."""
        old, start, step = side
        middles = self._constant(f"middles{axis}", np.arange(size, dtype=np.float32)[:, None] + np.float32(0.5))
        zero, one = self._number("zero", 0.0), self._number("one", 1.0)
        pixels = self._node("Range", zero, self._node("Squeeze", old), one)
        apart = self._node("Sub", self._node("Add", pixels, self._number("half", 0.5)), start)
        apart = self._node("Abs", self._node("Sub", apart, self._node("Mul", middles, step)))
        if image.resize == "bilinear-antialiased":
            apart = self._node("Div", apart, self._node("Max", step, one))
        heights = self._node("Relu", self._node("Sub", one, apart))
        return self._node("Div", heights, self._node("ReduceSum", heights, self._whole("columns", [1])))

    def _rounded(self, now: str) -> str:
        return self._node("Floor", self._node("Add", now, self._number("half", 0.5)))

    def _node(self, operator: str, *inputs: str, out: str = "", count: int = 1, **attributes: Any) -> str:
        name = f"prepare/{len(self.nodes)}/{operator}"
        outputs = [out or name] if count == 1 else [f"{name}/{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name, **attributes))
        return out or name

    def _number(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, np.float32))

    def _whole(self, name: str, values: list[int]) -> str:
        return self._constant(name, np.array(values, np.int64))

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        if all(each.name != f"prepare/{name}" for each in self.constants):
            self.constants.append(numpy_helper.from_array(value, f"prepare/{name}"))
        return f"prepare/{name}"


def _shape(value: Any) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]
