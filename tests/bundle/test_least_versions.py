"""The least runtime, from the file alone; and what is refused because no runtime has it."""

from __future__ import annotations

from pathlib import Path

import linear
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from edgekd.bundle import tflite_header
from edgekd.bundle.least_versions import minimum, needed_version, older, tables
from edgekd.errors import BadInputError
from edgekd.runtimes import tflite_graph


@pytest.mark.parametrize(
    ("opset", "ir_version", "version", "because"),
    [
        (17, 8, "1.12.0", "operator set 17"),
        (18, 8, "1.14.0", "operator set 18"),
        (20, 9, "1.17.0", "operator set 20"),
        (20, 10, "1.18.0", "IR version 10"),
        (22, 10, "1.21.0", "operator set 22"),
        (23, 11, "1.23.0", "IR version 11"),
    ],
)
def test_an_onnx_file_needs_what_its_format_or_operators_need(
    tmp_path: Path, opset: int, ir_version: int, version: str, because: str
) -> None:
    (found,) = minimum(linear.write_onnx(tmp_path / "a.onnx", opset, ir_version))
    assert (found.runtime, found.version, found.because) == ("onnxruntime", version, because)


def contributed(path: Path, name: str) -> Path:
    """One operator of onnxruntime's own, in a branch of an If."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    inner = helper.make_graph([helper.make_node(name, ["x"], ["y"], domain="com.microsoft")], "inner", [], [value])
    node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([node], "outer", [value], [value])
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def test_operators_of_onnxruntimes_own_count_wherever_they_stand(tmp_path: Path) -> None:
    (found,) = minimum(contributed(tmp_path / "a.onnx", "SparseAttention"))
    assert (found.version, found.because) == ("1.18.0", "SparseAttention of com.microsoft")


def test_an_operator_that_no_onnxruntime_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"'Conjure' of com\.microsoft, which no known onnxruntime has"):
        minimum(contributed(tmp_path / "a.onnx", "Conjure"))


def test_an_operator_set_that_is_not_there_yet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="operator set 99, expected 28 at most"):
        minimum(linear.write_onnx(tmp_path / "a.onnx", 99, 10))


def test_a_tflite_file_needs_what_its_operators_versions_need(tmp_path: Path) -> None:
    found = {each.runtime: each.version for each in minimum(linear.write_tflite(tmp_path / "a.tflite", version=9))}
    assert found == {
        "tflite-runtime": "2.7.0",  # the oldest that the table knows
        "ai-edge-litert": "1.0.1",
        "org.tensorflow:tensorflow-lite": "2.3.0",
        "com.google.ai.edge.litert:litert": "1.0.1",
        "TensorFlowLiteSwift": "2.4.0",
    }


def test_a_package_that_never_got_the_operators_is_left_out(tmp_path: Path) -> None:
    found = {each.runtime: each.version for each in minimum(linear.write_tflite(tmp_path / "a.tflite", version=12))}
    assert "tflite-runtime" not in found
    assert found["org.tensorflow:tensorflow-lite"] == "2.17.0"


def test_a_version_that_no_runtime_has_is_refused(tmp_path: Path) -> None:
    path = linear.write_tflite(tmp_path / "a.tflite", version=99)
    with pytest.raises(BadInputError, match="FULLY_CONNECTED version 99, which no known TFLite runtime has"):
        minimum(path)


@pytest.mark.parametrize(
    ("name", "types", "per_channel", "version"),
    [
        ("FULLY_CONNECTED", ("float32", "int8", "float32"), (False, True, False), 12),
        ("FULLY_CONNECTED", ("float32", "int8", "float32"), (False, False, False), 1),
        ("FULLY_CONNECTED", ("int8", "int8", "int32"), (False, True, True), 1),
        ("CONV_2D", ("float32", "int8"), (False, True), 5),
        ("EMBEDDING_LOOKUP", ("int32", "int8"), (False, True), 4),
        ("DEQUANTIZE", ("int8",), (True,), 5),
        ("BATCH_MATMUL", ("float32", "float32"), (False, False), 1),
    ],
)
def test_types_tell_what_a_quantizer_did_not_write(
    name: str, types: tuple[str, ...], per_channel: tuple[bool, ...], version: int
) -> None:
    assert needed_version(name, tflite_header.Call(0, 1, "", types, per_channel)) == version


def test_every_operator_of_the_table_is_in_the_schema_by_its_number() -> None:
    for name, (number, *_) in tables()["tflite"]["operators"].items():
        assert getattr(schema.BuiltinOperator, name) == number


def test_the_types_of_the_header_are_those_of_the_schema() -> None:
    for number, name in tflite_header.TYPES.items():
        assert getattr(schema.TensorType, name.upper()) == number


def test_the_header_is_what_the_schema_reads(tmp_path: Path) -> None:
    path = linear.write_tflite(tmp_path / "a.tflite")
    header, graph = tflite_header.read(path), tflite_graph.describe(path)
    assert (header.inputs, header.outputs) == (graph.inputs, graph.outputs)


def test_a_name_that_is_no_utf_8_damages_no_file(tmp_path: Path) -> None:
    path = linear.write_tflite(tmp_path / "a.tflite")
    path.write_bytes(path.read_bytes().replace(b"scores", b"sc\xffres"))
    assert tflite_header.read(path).outputs[0].name == "sc\N{REPLACEMENT CHARACTER}res"


def test_a_file_that_grows_without_end_where_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists can share their tables, so that few bytes stand for any number of them."""
    path = linear.write_tflite(tmp_path / "a.tflite")
    monkeypatch.setattr(tflite_header, "MOST_TABLES", 5)
    with pytest.raises(BadInputError, match=r"it is damaged \(ValueError: more than 5 tables\)"):
        minimum(path)


def test_a_damaged_tflite_file_is_refused_and_crashes_nothing(tmp_path: Path) -> None:
    content = linear.write_tflite(tmp_path / "a.tflite").read_bytes()
    path = tmp_path / "b.tflite"
    generator = np.random.default_rng(3)
    refused = 0
    for _ in range(300):
        changed = bytearray(content[: generator.integers(8, len(content) + 1)])
        changed[generator.integers(len(changed))] ^= 1 << generator.integers(8)
        path.write_bytes(content[:8] + bytes(changed[8:]))
        try:
            minimum(path)
        except BadInputError:
            refused += 1
    assert refused > 100


def test_versions_are_compared_by_their_numbers() -> None:
    assert older("1.9", "1.10")
    assert not older("1.18.0", "1.18")
