"""What is seen of a model beside its figures: its operators' times under the file's names, and memory over time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from adders import write_onnx, write_tflite
from onnx import TensorProto, helper

from edgekd.profile import joined, observing, saved
from edgekd.profile.measurement import Provenance
from edgekd.profile.observed import MOST_POINTS, MemoryCourse, Observed, OperatorProfile, OperatorTime, course
from edgekd.profile.rules import Plan
from edgekd.runtimes.graph import Operator
from edgekd.targets import Subject
from edgekd.targets.host import HostSession

SHORT = Plan(min_runs=20, min_seconds=0.05)


def observe(path: Path, runtime: str, rows: Path) -> Observed:
    with HostSession() as session:
        return session.observe(Subject("m", path, runtime, rows), SHORT)


@pytest.mark.parametrize(
    ("name", "write", "ran"),
    [
        ("m.onnx", write_onnx, ("Sum", "float", "CPUExecutionProvider")),
        ("m.tflite", write_tflite, ("Add (ND)", "not told", "XNNPACK")),
    ],
)
def test_a_file_is_looked_at_in_runs_of_their_own(
    name: str, write: Any, ran: tuple[str, ...], tmp_path: Path, rows: Path
) -> None:
    if name == "m.tflite":
        pytest.importorskip("ai_edge_litert")
    found = observe(write(tmp_path / name), "tflite" if name == "m.tflite" else "onnxruntime", rows)
    told, memory = found.operators, found.memory
    assert (told.unavailable, memory.unavailable) == ("", "")
    assert [(each.op_type, each.runs_in, each.provider) for each in told.operators] == [ran]
    assert [(each.in_file, each.share) for each in told.operators] in ([(True, 1.0)], [(True, 0.0)])  # under 1 us
    assert 0 < told.runs <= observing.RUNS
    assert told.profiled_s > 0 < told.plain_s
    assert told.fell_back == ()
    assert list(memory.marks) == ["runtime imported", "model loaded", "first inference"]
    assert 0 < memory.marks["runtime imported"] < memory.marks["model loaded"] < memory.marks["first inference"]
    assert memory.marks["first inference"] + observing.STEADY_S / 2 < memory.seconds[-1]
    assert 10e6 < memory.resident_bytes[0] < max(memory.resident_bytes)


def write_quantized(path: Path) -> Path:
    """A product of 8-bit integers between conversions, whose first node has no name."""
    weights = np.ones((4, 4), np.int8)
    made = {"w": weights, "s": np.array(0.1, np.float32), "z": np.array(0, np.uint8), "zw": np.array(0, np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearMatMul", ["q", "s", "z", "w", "s", "zw", "s", "z"], ["p"], name="product"),
        helper.make_node("DequantizeLinear", ["p", "s", "z"], ["r"], name="back"),
        helper.make_node("Tanh", ["r"], ["y"], name="tanh"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in made.items()]
    graph = helper.make_graph(nodes, "made", values[:1], values[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_int8_float_and_conversions_are_told_apart_by_the_names_of_the_file(tmp_path: Path, rows: Path) -> None:
    told = observe(write_quantized(tmp_path / "m.onnx"), "onnxruntime", rows).operators
    found = {each.name: (each.op_type, each.runs_in, each.in_file) for each in told.operators}
    assert found == {
        "q": ("QuantizeLinear", "conversion", True),
        "product": ("QLinearMatMul", "int8", True),
        "back": ("DequantizeLinear", "conversion", True),
        "tanh": ("Tanh", "float", True),
    }
    assert sum(each.share for each in told.operators) == pytest.approx(1)
    assert {each.provider for each in told.operators} == {"CPUExecutionProvider"}


def operator(name: str, op_type: str, *, int8: bool = False) -> Operator:
    numbers = dict.fromkeys(("macs", "weights", "weight_bytes", "bytes_read", "bytes_written"), 0)
    return Operator(name=name, op_type=op_type, kind="other", int8=int8, **numbers)


def told(name: str, op_type: str, provider: str = "XNNPACK") -> dict[str, Any]:
    return {"name": name, "type": op_type, "provider": provider, "takes": [], "seconds": 1e-6}


def test_xnnpacks_operators_are_those_of_the_file_only_where_there_are_as_many() -> None:
    ours = (operator("a", "CONV_2D", int8=True), operator("b", "ADD"), operator("c", "GATHER"), operator("d", "ADD"))
    runs = [told("2", "GATHER", "TFLite"), told("0", "Convolution (NHWC, QC8) IGEMM"), told("1", "Add (ND)")]
    assert {number: each.name for number, each in joined._pairs(ours, runs).items()} == {0: "c", 1: "a"}
    runs.append(told("2", "Add (ND)"))
    assert {number: each.name for number, each in joined._pairs(ours, runs).items()} == {0: "c", 1: "a", 2: "b", 3: "d"}


def test_what_something_else_ran_fell_back() -> None:
    told = OperatorProfile(
        tuple(
            OperatorTime(name, "Conv", "float", provider, share, in_file=True)
            for name, provider, share in (("a", "NnapiExecutionProvider", 0.7), ("b", "CPUExecutionProvider", 0.3))
        ),
        requested="NnapiExecutionProvider",
    )
    assert [each.name for each in told.fell_back] == ["b"]
    assert [each.name for each in told.largest(1)] == ["a"]


def test_a_runtime_that_fails_is_no_failure_but_a_reason(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    found = observe(tmp_path / "m.onnx", "onnxruntime", rows)
    assert "onnxruntime cannot load it" in found.operators.unavailable
    assert "onnxruntime cannot load it" in found.memory.unavailable


def test_a_process_that_dies_is_a_reason(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text("import sys\nsys.exit('no more')\n")
    monkeypatch.setattr(observing, "__file__", str(dying))
    found = observe(write_onnx(tmp_path / "m.onnx"), "onnxruntime", rows)
    assert found.operators.unavailable == "the process that looked ended with 1: no more"


def ended(pid: int) -> bool:
    """Whether the process ends within ten seconds; one that waits to be reaped has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or psutil.Process(pid).wait(10) is None
    except psutil.NoSuchProcess:
        return True


def test_the_watcher_ends_with_the_process_that_it_watches() -> None:
    code = f"""
import os, sys, time
sys.path.insert(0, {str(Path(observing.__file__).parent)!r})
import observing
watcher = observing.Watcher()
print(watcher._pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -9
    assert ended(int(done.stdout))


def test_a_long_course_keeps_its_highest_points_and_stays_small() -> None:
    seconds = [number * 0.005 for number in range(100_000)]
    sizes = [1e6 + (number == 54_321) * 1e9 for number in range(100_000)]
    found = course(seconds, sizes, {"model loaded": 0.2})
    assert len(found.seconds) == len(found.resident_bytes) <= MOST_POINTS
    assert list(found.seconds) == sorted(found.seconds)
    assert (seconds[54_321], sizes[54_321]) in zip(found.seconds, found.resident_bytes, strict=True)


def test_what_was_observed_is_kept_beside_the_measurements(tmp_path: Path) -> None:
    operators = OperatorProfile((OperatorTime("a", "Conv", "int8", "CPU", 1.0, in_file=True),), "CPU", 5, 1e-3, 2e-3)
    whole = Observed("m", Provenance.ON_HOST, operators, MemoryCourse((0.0, 1.0), (1e6, 2e6), {"model loaded": 0.5}))
    saved.save((), tmp_path / "all.npz", whole)
    assert saved.load_observed(tmp_path / "all.npz") == whole
    assert saved.load_observed(saved.save((), tmp_path / "none.npz")) is None
    assert saved.load(tmp_path / "all.npz") == ()
    assert replace(whole, artifact="n") != whole
