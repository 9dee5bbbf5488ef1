"""Rewriting for speed: the same numbers out of other operators."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from tinytransformer import LAYERS, text, write_onnx

from edgekd.errors import StageError
from edgekd.quantizers.onnx_fusion import compare, fuse


def run(path: Path, fed: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, fed)[0])


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.fixture(scope="module")
def fused(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fused") / "fused.onnx"
    fuse(encoder, path)
    return path


@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_a_text_gives_the_same_vector(encoder: Path, fused: Path, length: int) -> None:
    assert np.abs(run(encoder, text(length)) - run(fused, text(length))).max() < 2e-6


def test_padding_is_not_computed_and_changes_nothing(encoder: Path, fused: Path) -> None:
    assert np.array_equal(run(fused, text(9)), run(fused, text(9, padding=30)))
    assert np.abs(run(encoder, text(9, padding=30)) - run(fused, text(9, padding=30))).max() < 2e-6


def test_attention_is_one_operator_and_residuals_are_sums(encoder: Path, fused: Path) -> None:
    before, after = operators(encoder), operators(fused)
    assert (before["Softmax"], before["MultiHeadAttention"]) == (LAYERS, 0)
    assert (after["Softmax"], after["MultiHeadAttention"], after["Sum"]) == (0, LAYERS, 2 * LAYERS)
    assert after["Transpose"] == 0


def test_onnxruntime_does_not_join_the_sum_and_the_normalisation(fused: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(fused, options, providers=["CPUExecutionProvider"])
    found = operators(tmp_path / "optimized.onnx")
    assert (found["SkipLayerNormalization"], found["LayerNormalization"]) == (0, 2 * LAYERS)


def test_attention_with_a_bias_of_its_own_is_left(tmp_path: Path) -> None:
    source, target = write_onnx(tmp_path / "near.onnx", near=True), tmp_path / "fused.onnx"
    fuse(source, target)
    found = operators(target)
    assert (found["Softmax"], found["MultiHeadAttention"], found["Compress"]) == (LAYERS, 0, 2)
    assert np.abs(run(source, text(9, padding=4)) - run(target, text(9, padding=4))).max() < 2e-6


def test_a_file_of_another_kind_keeps_its_inputs(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", 1, [1, 3])],
        [helper.make_tensor_value_info("y", 1, [1, 3])],
    )
    path = tmp_path / "relu.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    fuse(path, tmp_path / "fused.onnx")
    assert operators(tmp_path / "fused.onnx") == {"Relu": 1}


def test_a_rewriting_that_changes_the_outputs_is_refused(encoder: Path, tmp_path: Path) -> None:
    model = onnx.load(encoder)
    bias = next(each for each in model.graph.initializer if each.name == "layers.0.down.bias")
    other = numpy_helper.to_array(bias) + np.arange(32, dtype=np.float32)
    bias.CopyFrom(numpy_helper.from_array(other, bias.name))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(StageError, match=r"float\.onnx: rewritten for onnxruntime, its outputs differ by"):
        compare(encoder, tmp_path / "other.onnx")
