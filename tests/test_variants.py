"""Variants of a file are described as the file would be that was made so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from workshop import Built

from edgekd import variants
from edgekd.errors import StageError
from edgekd.runtimes import onnxruntime, tflite
from edgekd.variants import File, narrowed

Nodes = list[onnx.NodeProto]


def saved(path: Path, nodes: Nodes, constants: dict[str, Any], side: int, channels: int = 3) -> Path:
    """A classifier of ten classes for images of that side."""
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, side, side])]
    taken = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])]
    graph = helper.make_graph(nodes, "net", given, taken, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def filters(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def network(path: Path, width: int, side: int = 16, stride: int = 1) -> Path:
    """Two convolutions, a depthwise one, and a dense layer, ``width`` channels wide."""
    shapes = {
        "first": (width, 3, 3, 3),
        "second": (width, width, 3, 3),
        "each": (width, 1, 3, 3),
        "dense": (width, 10),
    }
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "second"], ["b"], pads=[1] * 4, strides=[stride] * 2),
        helper.make_node("Conv", ["b", "each"], ["c"], pads=[1] * 4, group=width),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "dense"], ["y"]),
    ]
    return saved(path, nodes, {name: filters(*shape) for name, shape in shapes.items()}, side)


def test_a_narrowed_graph_is_that_of_a_network_made_so_narrow(tmp_path: Path) -> None:
    wide, narrow = (onnxruntime.describe(network(tmp_path / f"{width}.onnx", width)) for width in (16, 8))
    made = narrowed(wide, 0.5)
    assert [each.macs for each in made.operators] == [each.macs for each in narrow.operators]
    assert [each.weights for each in made.operators] == [each.weights for each in narrow.operators]
    assert [each.kernel for each in made.operators] == [each.kernel for each in narrow.operators]
    assert made.weight_bytes == narrow.weight_bytes
    assert made.activation_peak_bytes == pytest.approx(narrow.activation_peak_bytes, rel=0.1)


@pytest.mark.parametrize("side", [7, 8, 15])
def test_a_graph_for_smaller_images_is_that_of_a_network_made_for_them(tmp_path: Path, side: int) -> None:
    large, small = (network(tmp_path / f"{each}.onnx", 8, each, stride=2) for each in (16, side))
    assert onnxruntime.resized(large, (side, side)) == onnxruntime.describe(small)


def flattened() -> tuple[Nodes, dict[str, Any]]:
    """Each place of the map has weights of its own."""
    nodes = [helper.make_node("Flatten", ["x"], ["a"]), helper.make_node("Gemm", ["a", "dense"], ["y"], transB=1)]
    return nodes, {"dense": filters(10, 3 * 16 * 16)}


def reshaped() -> tuple[Nodes, dict[str, Any]]:
    nodes = [
        helper.make_node("Reshape", ["x", "sizes"], ["a"]),
        helper.make_node("ReduceMean", ["a"], ["b"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["b", "dense"], ["y"]),
    ]
    return nodes, {"sizes": np.array([1, 256, 3]), "dense": filters(3, 10)}


def placed() -> tuple[Nodes, dict[str, Any]]:
    """What is added tells where a place is, as in a vision transformer."""
    nodes = [
        helper.make_node("Add", ["x", "places"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "dense"], ["y"]),
    ]
    return nodes, {"places": filters(1, 3, 16, 16), "dense": filters(3, 10)}


def pooled() -> tuple[Nodes, dict[str, Any]]:
    """A window as large as the map: inference finds room for one of 16 in 12, as -4 / 16 is rounded to 0."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["a"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "dense"], ["y"]),
    ]
    return nodes, {"dense": filters(3, 10)}


def gridded() -> tuple[Nodes, dict[str, Any]]:
    """A classifier that is a convolution over the whole map, as the default student's."""
    nodes = [helper.make_node("Conv", ["x", "grid"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    return nodes, {"grid": filters(10, 3, 16, 16)}


@pytest.mark.parametrize("made", [flattened, reshaped, placed, pooled, gridded])
def test_a_network_for_one_size_alone_has_no_smaller_one(
    tmp_path: Path, made: Callable[[], tuple[Nodes, dict[str, Any]]]
) -> None:
    path = saved(tmp_path / "net.onnx", *made(), 16)
    graph = onnxruntime.describe(path)
    assert onnxruntime.resized(path, (16, 16)) == graph, "it is its size, and nothing else, that is refused"
    assert onnxruntime.resized(path, (12, 12)) is None
    assert list(variants.smaller(File(path, 1000, graph))) == []


def test_what_is_described_for_smaller_images_runs_on_them(built: Built, tmp_path: Path) -> None:
    """The INT8 file of a build, with nothing changed but the size that it says it takes."""
    path = built.workshop.folder / built.run_folder / "model.onnx"
    found = list(variants.smaller(File(path, path.stat().st_size, onnxruntime.describe(path))))
    assert [each.text for each in found] == [
        "images of 9 x 9 pixels instead of 12 x 12",
        "images of 6 x 6 pixels instead of 12 x 12",
    ]
    for side, variant in zip((9, 6), found, strict=True):
        assert variant.graph.inputs[0].shape == (1, 3, side, side)
        assert run(path, side, tmp_path / "smaller.onnx").shape == (1, 3)


def test_a_window_that_finds_no_room_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(StageError):
        run(saved(tmp_path / "net.onnx", *gridded(), 16), 12, tmp_path / "smaller.onnx")


def run(path: Path, side: int, changed: Path) -> np.ndarray[Any, Any]:
    model = onnx.load(path)
    for size in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        size.dim_value = side
    del model.graph.value_info[:]
    onnx.save(model, changed)
    given = {model.graph.input[0].name: np.zeros((1, 3, side, side), np.float32)}
    return onnxruntime.Runner(changed, 1).output(given)


def test_tflite_files_and_inputs_that_are_no_images_have_none(built: Built, tmp_path: Path) -> None:
    path = built.workshop.folder / built.run_folder / "model.tflite"
    assert list(variants.smaller(File(path, 1000, tflite.describe(path)))) == []
    pool = helper.make_node("GlobalAveragePool", ["x"], ["a"])
    nodes = [pool, helper.make_node("Flatten", ["a"], ["b"]), helper.make_node("MatMul", ["b", "dense"], ["y"])]
    counts = {}
    for channels, side in ((4, 8), (5, 8), (4, 1)):
        file = saved(tmp_path / "net.onnx", nodes, {"dense": filters(channels, 10)}, side, channels)
        counts[channels, side] = len(list(variants.smaller(File(file, 1000, onnxruntime.describe(file)))))
    assert counts == {(4, 8): 2, (5, 8): 0, (4, 1): 0}
