"""Work in ONNX files of text encoders, whose length is free, against counts made by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tinytransformer import LAYERS, attention, products, write_onnx

from edgekd.errors import BadInputError
from edgekd.quantizers import onnx_dynamic
from edgekd.quantizers.onnx_fusion import fuse
from edgekd.runtimes.onnx_graph import describe


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx(tmp_path_factory.mktemp("texts") / "float.onnx")


@pytest.fixture(scope="module")
def int8(encoder: Path) -> Path:
    onnx_dynamic.quantize(encoder, encoder.parent / "int8.onnx", "arm64")
    return encoder.parent / "int8.onnx"


@pytest.mark.parametrize("length", [8, 40])
def test_work_grows_with_the_length(encoder: Path, length: int) -> None:
    graph = describe(encoder, length)
    assert graph.macs == graph.by_kind()["dense"] == products(length) + attention(length)
    assert [(each.name, each.shape) for each in graph.inputs] == [
        ("input_ids", (1, length)),
        ("attention_mask", (1, length)),
    ]
    assert [(each.name, each.shape) for each in graph.outputs] == [("embedding", (1, 32))]
    assert graph.int8_share == 0


def test_a_free_length_must_be_given(encoder: Path) -> None:
    with pytest.raises(BadInputError, match=r"dynamic shape \[1, length\] of tensor 'input_ids'"):
        describe(encoder)


def test_fused_attention_is_the_same_work(encoder: Path, tmp_path: Path) -> None:
    fuse(encoder, tmp_path / "fused.onnx")
    graph = describe(tmp_path / "fused.onnx", 8)
    assert graph.macs == products(8) + attention(8)
    fused = [each for each in graph.operators if each.op_type == "MultiHeadAttention"]
    assert [each.macs for each in fused] == [attention(8) // LAYERS] * LAYERS


def test_int8_counts_what_is_multiplied_in_int8(encoder: Path, int8: Path) -> None:
    graph = describe(int8, 8)
    assert graph.macs == products(8) + attention(8)
    assert graph.int8_share == pytest.approx(products(8) / graph.macs)
    assert graph.weight_bytes < 0.4 * describe(encoder, 8).weight_bytes


def test_quantizing_and_returning_to_float_are_inside_the_product(int8: Path) -> None:
    graph = describe(int8, 8)
    counts = Counter(each.op_type for each in graph.operators)
    assert counts["MatMulInteger"] == 6 * LAYERS
    assert counts["DynamicQuantizeLinear"] == LAYERS  # query, key and value share one
    down = next(each for each in graph.operators if each.macs == 8 * 192 * 32 and each.bytes_read == 8 * 192 * 4)
    assert down.bytes_written == 8 * 32 * 4


def packed(path: Path, level: int) -> Path:
    """A product of 16 x 6 packed weights in 8 bits."""
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["p"], domain="com.microsoft")
    sizes = {"K": 16, "N": 6, "bits": 8, "block_size": 16, "accuracy_level": level}
    node.attribute.extend(helper.make_attribute(name, value) for name, value in sizes.items())
    graph = helper.make_graph(
        [node, helper.make_node("Relu", ["p"], ["y"])],
        "packed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "length", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.full((6, 1, 16), 128, np.uint8), "w"),
            numpy_helper.from_array(np.ones((6, 1), np.float32), "s"),
        ],
    )
    domains = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), path)
    return path


@pytest.mark.parametrize(("level", "int8"), [(4, True), (0, False)])
def test_packed_weights(tmp_path: Path, level: int, *, int8: bool) -> None:
    graph = describe(packed(tmp_path / "packed.onnx", level), 5)
    assert (graph.macs, graph.int8_share) == (5 * 16 * 6, float(int8))
    assert graph.outputs[0].shape == (1, 5, 6)
