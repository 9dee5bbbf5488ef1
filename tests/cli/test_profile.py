"""edgekd profile: files that somebody else made are measured or predicted, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from adders import write_onnx, write_tflite
from onnx import TensorProto, helper

from edgekd.cli import run
from edgekd.errors import EXIT_STAGE, EXIT_USAGE
from edgekd.profile import saved
from edgekd.runtimes import asked


def profiled(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = run(["profile", *map(str, words)])
    return code, *capsys.readouterr()


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path, device: str = "host") -> str:
    code, output, errors = profiled(capsys, *words, "--device", device, "--quick")
    assert (code, output) == (EXIT_USAGE, "")
    assert "hint: " in errors
    return errors


def write_graph(path: Path, nodes: list[Any], inputs: list[Any], **more: Any) -> Path:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "made", inputs, [output], **more)
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in ("", "com.mine")]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def write_encoder(path: Path) -> Path:
    """Looks ids up in a table of 5 rows after a cast, and takes a mask."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [5, 2], list(range(10)))
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["batch", "length"])
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "length"])
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["wide"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "wide"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["y"]),
    ]
    last = helper.make_tensor("last", TensorProto.INT64, [1], [2])
    return write_graph(path, nodes, [ids, mask], initializer=[table, last])


def test_a_file_is_measured_with_bounds_and_all_values_can_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    options = ("--device", "host", "--quick", "--shape", "x=2,4", "--load", "1", "--memory-limit", "4GB")
    code, output, _ = profiled(capsys, model, *options, "--samples", tmp_path / "all.npz")
    assert code == 0
    assert output.startswith(f"{model} on This machine, measured by host\nlatency ")
    for text in ("with 99 % confidence at most", "cold_start ", "load_time ", "first_inference ", "peak_memory "):
        assert text in output
    assert "beside 1 busy cores" in output
    assert "x the median without load, and " in output
    assert output.endswith("input made: x float32 2x4: random, normally distributed\n")
    kept = [each for each in saved.load(tmp_path / "all.npz") if each.metric == "latency"]
    assert [each.conditions["busy_cores"] for each in kept] == ["0", "1"]
    assert all(len(each.values) >= 64 for each in kept)
    assert kept[0].conditions["memory_limit"].startswith("4000000000 B by ")


def test_json_is_one_object_with_the_plan_and_conditions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert")
    model = write_tflite(tmp_path / "m.tflite")
    code, output, _ = profiled(capsys, model, "--device", "host", "--quick", "--json")
    found = json.loads(output)
    assert (code, found["target"], found["plan"]["min_runs"]) == (0, "host", 64)
    latency = next(each for each in found["measurements"] if each["metric"] == "latency")
    assert latency["n"] >= 64
    for name in ("governor", "temperature_celsius", "throttled", "load_average_1min", "core", "runtime"):
        assert latency["conditions"][name]


def test_a_device_that_is_not_here_is_predicted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_onnx(tmp_path / "m.onnx", batch=1)
    code, output, _ = profiled(capsys, model, "--device", "pixel8")
    assert code == 0
    assert "predicted, with 90 % intervals" in output
    assert "--load" in refused(capsys, model, "--load", "1", device="pixel8")


def test_ids_stay_in_the_table_and_masks_are_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_encoder(tmp_path / "m.onnx")
    shapes = ("--shape", "input_ids=1,64", "--shape", "attention_mask=1,64")
    code, output, _ = profiled(capsys, model, "--device", "host", "--quick", *shapes)
    assert code == 0  # an id of 5 or more would have been refused by the runtime
    assert "input made: input_ids int32 1x64: random ids below 5\n" in output
    assert "input made: attention_mask int64 1x64: ones\n" in output
    assert "the input 'input_ids' of shape batchxlength, whose size 'batch' (dimension 0)" in refused(capsys, model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("x=3", "found 3 for 'x', which is nx4"),
        ("x=1,5", "found 1x5 for 'x', which is nx4"),
        ("z=1,4", "found the input 'z'"),
        ("x", "found 'x', expected a name and sizes"),
        ("x=0,4", "found 'x=0,4', expected a name and sizes above zero"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    given: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    code, _, errors = profiled(capsys, model, "--device", "host", "--shape", given)
    assert code == EXIT_USAGE
    assert message in errors


def test_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no readable file" in refused(capsys, tmp_path / "none.onnx")
    for name, content in (("a.onnx", b"no model"), ("a.tflite", b"no model"), ("b.tflite", b"\0\0\0\0TFL3\xff\xff")):
        (tmp_path / name).write_bytes(content)
        assert "found a file that is not" in refused(capsys, tmp_path / name)
    (tmp_path / "empty.onnx").touch()
    assert "found an empty file" in refused(capsys, tmp_path / "empty.onnx")
    (tmp_path / "a.bin").touch()
    code, _, errors = profiled(capsys, tmp_path / "a.bin", "--device", "host")
    assert code == EXIT_USAGE
    assert "expected .onnx or .tflite" in errors


def test_a_file_of_2_gib_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(asked.LARGEST_BYTES + 1)  # holes: it takes no room
    assert "found 2.1 GB in one file" in refused(capsys, tmp_path / "large.onnx")


def test_missing_external_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    weights = onnx.numpy_helper.from_array(np.ones((1, 4), np.float32), "w")
    write_graph(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [x], initializer=[weights])
    model = onnx.load(tmp_path / "m.onnx")
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(model, tmp_path / "m.onnx", **options)
    assert profiled(capsys, tmp_path / "m.onnx", "--device", "host", "--quick")[0] == 0
    (tmp_path / "weights.bin").unlink()
    assert "found weights in 'weights.bin', expected that file beside it" in refused(capsys, tmp_path / "m.onnx")


def test_loops_and_custom_operators_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    custom = helper.make_node("Magic", ["x"], ["y"], domain="com.mine")
    assert "custom operator com.mine::Magic" in refused(capsys, write_graph(tmp_path / "c.onnx", [custom], [x]))
    unknown = helper.make_node("Magick", ["x"], ["y"])
    assert "Magick" in refused(capsys, write_graph(tmp_path / "u.onnx", [unknown], [x]))
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "body", [], [])
    loop = helper.make_node("Loop", ["", ""], ["y"], name="again", body=body)
    assert "the operator Loop 'again'" in refused(capsys, write_graph(tmp_path / "l.onnx", [loop], [x]))


def test_an_unknown_tflite_operator_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(write_tflite(tmp_path / "m.tflite").read_bytes(), 0)
    code = model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"Magic"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    (tmp_path / "m.tflite").write_bytes(bytes(builder.Output()))
    assert "Magic" in refused(capsys, tmp_path / "m.tflite")


def test_a_model_that_needs_more_memory_than_its_limit_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_onnx(tmp_path / "m.onnx", batch=1)
    code, output, _ = profiled(capsys, model, "--device", "host", "--quick", "--memory-limit", "8MB")
    assert (code, output) == (EXIT_STAGE, "")
    code, _, errors = profiled(capsys, model, "--device", "host", "--memory-limit", "8")
    assert code == EXIT_USAGE
    assert "--memory-limit: found no unit in '8'" in errors
