"""Work in ONNX files, against counts made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import BadInputError
from edgekd.runtimes.asked import asked
from edgekd.runtimes.graph import Step, activation_peak_bytes
from edgekd.runtimes.onnx_graph import describe

Node = onnx.NodeProto
Weights = dict[str, np.ndarray]


def save(path: Path, nodes: list[Node], weights: Weights, shape: list[int | str], out: list[int]) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def values(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(shape, dtype)


@pytest.fixture
def float_file(tmp_path: Path) -> Path:
    """1x3x8x8 -> conv 4 (3x3) -> ReLU -> depthwise 3x3 stride 2 -> mean -> 10 classes."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], name="stem"),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], strides=[2, 2], group=4),
        helper.make_node("GlobalAveragePool", ["c2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    weights = {
        "w1": values(4, 3, 3, 3),
        "b1": values(4),
        "w2": values(4, 1, 3, 3),
        "w3": values(10, 4),
        "b3": values(10),
    }
    return save(tmp_path / "float.onnx", nodes, weights, [1, 3, 8, 8], [1, 10])


def test_multiply_accumulates_by_kind(float_file: Path) -> None:
    graph = describe(float_file)
    assert graph.by_kind() == {
        "conv": 8 * 8 * 4 * 3 * 3 * 3,
        "depthwise": 4 * 4 * 4 * 3 * 3,
        "dense": 4 * 10,
        "other": 0,
    }
    assert graph.macs == 6912 + 576 + 40


def test_weights_and_their_bytes(float_file: Path) -> None:
    graph = describe(float_file)
    assert graph.weights == 108 + 4 + 36 + 40 + 10
    assert graph.weight_bytes == 4 * graph.weights


def test_an_activation_is_part_of_its_convolution(float_file: Path) -> None:
    graph = describe(float_file)
    assert [each.op_type for each in graph.operators] == ["Conv", "Conv", "GlobalAveragePool", "Flatten", "Gemm"]
    stem = graph.operators[0]
    assert (stem.name, stem.bytes_read, stem.bytes_written, stem.int8) == ("stem", 3 * 64 * 4, 4 * 64 * 4, False)


def test_inputs_outputs_and_versions(float_file: Path) -> None:
    graph = describe(float_file)
    assert [(each.name, each.shape, each.dtype) for each in graph.inputs] == [("x", (1, 3, 8, 8), "float32")]
    assert [each.shape for each in graph.outputs] == [(1, 10)]
    assert graph.versions == {"ai.onnx": 18}
    assert graph.runtime == "onnxruntime"


def test_peak_of_the_float_file(float_file: Path) -> None:
    held = (192 + 10) * 4  # input and output
    assert describe(float_file).activation_peak_bytes == held + (256 + 64) * 4  # both sides of the depthwise one


def test_an_activation_that_others_read_too_is_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["c", "r"], ["y"]),
    ]
    path = save(tmp_path / "branch.onnx", nodes, {"w": values(2, 2, 1, 1)}, [1, 2, 4, 4], [1, 2, 4, 4])
    assert [each.op_type for each in describe(path).operators] == ["Conv", "Relu", "Add"]


def quantized(tmp_path: Path, *, per_channel: bool) -> Path:
    """Q -> DQ -> conv (int8 weights) -> ReLU -> Q -> DQ -> MatMul -> Q -> DQ."""
    scales = values(4) if per_channel else np.float32(1)
    zeros = np.zeros(4, "int8") if per_channel else np.int8(0)
    axis = {"axis": 0} if per_channel else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], **axis),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["cd"]),
        helper.make_node("DequantizeLinear", ["m", "s", "z"], ["md"]),
        helper.make_node("MatMul", ["cd", "md"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "s", "z"], ["pq"]),
        helper.make_node("DequantizeLinear", ["pq", "s", "z"], ["y"]),
    ]
    weights = {
        "w": values(4, 3, 1, 1, dtype="int8"),
        "ws": np.asarray(scales),
        "wz": np.asarray(zeros),
        "m": values(5, 7, dtype="int8"),
        "s": np.asarray(np.float32(0.5)),
        "z": np.asarray(np.int8(3)),
    }
    return save(tmp_path / "int8.onnx", nodes, weights, [1, 3, 5, 5], [1, 4, 5, 7])


@pytest.mark.parametrize("per_channel", [False, True])
def test_quantization_around_an_operator_makes_it_int8(tmp_path: Path, *, per_channel: bool) -> None:
    graph = describe(quantized(tmp_path, per_channel=per_channel))
    kinds = [(each.op_type, each.int8) for each in graph.operators]
    assert kinds == [("QuantizeLinear", False), ("Conv", True), ("MatMul", True), ("DequantizeLinear", False)]
    assert graph.macs == 5 * 5 * 4 * 3 + 4 * 5 * 7 * 5
    assert graph.int8_share == 1.0


def test_an_int8_operator_reads_and_writes_bytes(tmp_path: Path) -> None:
    conv = describe(quantized(tmp_path, per_channel=True)).operators[1]
    assert (conv.weights, conv.weight_bytes, conv.bytes_read, conv.bytes_written) == (12, 12, 75, 100)


def test_an_operator_with_float_weights_stays_float(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("Conv", ["xd", "w"], ["y"]),
    ]
    weights = {"w": values(4, 3, 1, 1), "s": np.asarray(np.float32(1)), "z": np.asarray(np.int8(0))}
    graph = describe(save(tmp_path / "half.onnx", nodes, weights, [1, 3, 5, 5], [1, 4, 5, 5]))
    assert [each.op_type for each in graph.operators] == ["QuantizeLinear", "DequantizeLinear", "Conv"]
    assert graph.int8_share == 0.0


@pytest.mark.parametrize(("op_type", "int8"), [("Conv", False), ("MatMul", True)])
def test_without_quantization_after_it_only_a_product_of_matrices_is_int8(
    tmp_path: Path, op_type: str, *, int8: bool
) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wd"]),
        helper.make_node(op_type, ["xd", "wd"], ["y"]),
    ]
    shape = [3, 3, 1, 1] if op_type == "Conv" else [1, 3, 5, 5]
    scale = {"s": np.asarray(np.float32(1)), "z": np.asarray(np.int8(0))}
    weights = {"w": values(*shape, dtype="int8"), **scale}
    graph = describe(save(tmp_path / "last.onnx", nodes, weights, [1, 3, 5, 5], [1, 3, 5, 5]))
    assert graph.operators[-1].op_type == op_type
    assert graph.operators[-1].int8 == int8
    assert len(graph.operators) == (2 if int8 else 3)  # a float one leaves the DequantizeLinear of its input


def test_weights_that_are_only_stored_in_int8_are_multiplied_as_float(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wd"]),
        helper.make_node("MatMul", ["x", "wd"], ["y"]),
    ]
    weights = {"w": values(6, 2, dtype="int8"), "s": np.asarray(np.float32(1)), "z": np.asarray(np.int8(0))}
    graph = describe(save(tmp_path / "stored.onnx", nodes, weights, [1, 6], [1, 2]))
    assert [(each.op_type, each.int8, each.macs) for each in graph.operators] == [("MatMul", False, 12)]


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"PK\x03\x04"])
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"wrong\.onnx: found .* ONNX model") as caught:
        describe(path)
    assert caught.value.hint


def test_a_damaged_file_is_refused_or_described(float_file: Path) -> None:
    """Nothing else, whatever byte of it is wrong."""
    content, generator, refused = float_file.read_bytes(), np.random.default_rng(4), 0
    for _ in range(300):
        changed = bytearray(content)
        changed[generator.integers(len(content))] = generator.integers(256)
        float_file.write_bytes(changed)
        for read in (describe, asked):
            try:
                read(float_file)
            except BadInputError:
                refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"weights", b"nowhere", "it is damaged (KeyError: 'weights')"),
        (b"Conv", b"C\xffnv", "it is damaged (TypeError: "),
    ],
)
def test_names_that_stand_for_nothing_are_told(old: bytes, new: bytes, reason: str, tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "weights"], ["y"])]
    path = save(tmp_path / "a.onnx", nodes, {"weights": values(4, 3, 1, 1)}, [1, 3, 8, 8], [1, 4, 8, 8])
    head, _, tail = path.read_bytes().rpartition(old)  # of the weights themselves
    path.write_bytes(head + new + tail)
    with pytest.raises(BadInputError) as caught:
        describe(path)
    assert f"found a file that is not an ONNX model: {reason}" in caught.value.message


def test_a_look_up_by_what_is_made_of_itself_comes_to_an_end(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["b"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Gather", ["table", "a"], ["y"]),
    ]
    (x,) = asked(save(tmp_path / "circle.onnx", nodes, {"table": values(4, 2)}, [1, 3], [1, 2]))
    assert (x.name, x.ids) == ("x", None)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"none\.onnx: found no readable file"):
        describe(tmp_path / "none.onnx")


def test_dynamic_shapes_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "dynamic.onnx", nodes, {}, ["batch", 3], [1, 3])
    with pytest.raises(BadInputError, match=r"dynamic shape \[batch, 3\] of tensor 'x'") as caught:
        describe(path)
    assert "fixed input shapes" in caught.value.hint


def test_an_input_without_a_shape_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "open.onnx", nodes, {}, [1, 3], [1, 3])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    with pytest.raises(BadInputError, match=r"dynamic shape \[of any rank\] of tensor 'x'"):
        describe(path)


def test_a_tensor_lives_until_its_last_reader() -> None:
    steps = [Step(("a",), ("b",)), Step(("b",), ("c",)), Step(("b", "c"), ("d",))]
    assert activation_peak_bytes(steps, {"a": 1, "b": 10, "c": 5, "d": 2}, {"a", "d"}) == 18
    assert activation_peak_bytes(steps, {"a": 1, "b": 10, "c": 5, "d": 2}, set()) == 17
