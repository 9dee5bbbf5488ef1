import doctest
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.errors import BadInputError, MissingExtraError, StageError
from edgekd.profile import child, session
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.session import Plan, energy_per_run, profile

SHORT = Plan(min_runs=20, min_seconds=0.05)


def write_onnx(path: Path, names: tuple[str, ...] = ("x",), batch: int | str = "n") -> Path:
    import onnx
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 4]) for name in names]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])
    graph = helper.make_graph([helper.make_node("Sum", list(names), ["y"])], "tiny", inputs, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def write_tflite(path: Path) -> Path:
    """y = x + x, with an input named as converters name it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: str) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, [1, 4], schema.TensorType.FLOAT32, 0
        return made

    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 0], [1]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph = schema.SubGraphT()
    graph.tensors = [tensor("serving_default_x:0"), tensor("y")]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.ADD, 0, 1
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [code], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", np.arange(40, dtype=np.float32).reshape(10, 4))
    return tmp_path / "rows.npy"


def by_metric(found: tuple[Measurement, ...]) -> dict[str, Measurement]:
    assert len({one.metric for one in found}) == len(found)
    return {one.metric: one for one in found}


@pytest.mark.parametrize(("runtime", "write"), [("onnxruntime", write_onnx), ("tflite", write_tflite)])
def test_a_profile_has_every_metric_with_unit_provenance_and_conditions(
    runtime: str, write: Any, tmp_path: Path, rows: Path
) -> None:
    if runtime == "tflite":
        pytest.importorskip("ai_edge_litert")
    model = write(tmp_path / "model")
    found = by_metric(profile(model, runtime, rows, "key1", SHORT))
    assert {name: one.unit for name, one in found.items()} == {
        "latency": "s",
        "load_time": "s",
        "first_inference": "s",
        "peak_memory": "B",
        "size": "B",
        "energy": "J",
    }
    assert {(one.provenance, one.artifact) for one in found.values()} == {(Provenance.ON_HOST, "key1")}
    assert all(one.conditions["threads"] == "1" and one.conditions["runtime"] == runtime for one in found.values())
    assert len(found["latency"].values) >= SHORT.min_runs
    assert len(found["latency"].warmups) >= 2 * child.WARMUP_WINDOW
    assert all(value > 0 for one in found.values() for value in (*one.values, *one.warmups))
    assert [len(found[name].values) for name in ("load_time", "first_inference", "peak_memory", "size")] == [1, 1, 1, 1]
    assert found["size"].values == (model.stat().st_size,)
    assert bool(found["energy"].values) != bool(found["energy"].unavailable)
    memory = found["peak_memory"]
    base, load = (int(memory.conditions[name]) for name in ("base_memory_bytes", "load_peak_bytes"))
    assert 2**20 < base <= load <= memory.values[0] < 2**30


def test_both_minima_hold(tmp_path: Path, rows: Path) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    by_count = by_metric(profile(model, "onnxruntime", rows, "a", Plan(min_runs=9000, min_seconds=0)))["latency"]
    assert len(by_count.values) == 9000  # over two blocks of samples and a part of a third
    by_time = by_metric(profile(model, "onnxruntime", rows, "a", Plan(min_runs=1, min_seconds=0.3)))["latency"]
    assert len(by_time.values) > 1


def test_several_inputs_come_by_name_and_fixed_batches_take_as_many_rows(tmp_path: Path) -> None:
    model = write_onnx(tmp_path / "m.onnx", names=("left", "right"), batch=3)
    both = tmp_path / "both.npz"
    np.savez(both, right=np.ones((5, 4), np.float32), left=np.ones((3, 4), np.float32))
    assert len(by_metric(profile(model, "onnxruntime", both, "a", SHORT))["latency"].values) >= 20


def test_a_tflite_input_may_be_named_as_in_its_signature(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 4), np.float32))
    found = profile(write_tflite(tmp_path / "m.tflite"), "tflite", tmp_path / "x.npz", "a", SHORT)
    assert by_metric(found)["latency"].values


@pytest.mark.parametrize("runtime", ["onnxruntime", "tflite"])
def test_a_corrupt_model_is_refused_by_name(runtime: str, tmp_path: Path, rows: Path) -> None:
    if runtime == "tflite":
        pytest.importorskip("ai_edge_litert")
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"not a model" * 50)
    with pytest.raises(BadInputError, match=rf"broken\.bin: {runtime} cannot load it: .*\w") as caught:
        profile(broken, runtime, rows, "a", SHORT)
    assert "whole" in caught.value.hint


@pytest.mark.parametrize(
    ("array_", "text"),
    [
        (np.ones((3, 4)), r"found float64 rows of shape \(3, 4\), expected float32 any x 4 for the input 'x'"),
        (np.ones((3, 5), np.float32), r"found float32 rows of shape \(3, 5\), expected float32 any x 4"),
        (np.ones(4, np.float32), r"found float32 rows of shape \(4,\)"),
        (np.ones((0, 4), np.float32), "found float32 rows of shape"),
    ],
)
def test_inputs_of_another_type_or_shape_are_refused_and_never_cast(array_: Any, text: str, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", array_)
    wanted = (child.Input(("x",), "float32", (-1, 4)),)
    with pytest.raises(child.Refused, match=text):
        child.read_inputs(tmp_path / "bad.npy", wanted)


def test_inputs_are_the_first_rows(rows: Path) -> None:
    one, three = (child.read_inputs(rows, (child.Input(("x",), "float32", (size, 4)),))[0] for size in (-1, 3))
    assert one.tolist() == [[0, 1, 2, 3]]
    assert three.shape == (3, 4)


def test_too_few_rows_wrong_names_and_unreadable_files_are_refused(tmp_path: Path, rows: Path) -> None:
    wanted = child.Input(("x",), "float32", (16, 4))
    with pytest.raises(child.Refused, match="expected float32 16 x 4"):
        child.read_inputs(rows, (wanted,))
    with pytest.raises(child.Refused, match="one array for a model with 2 inputs"):
        child.read_inputs(rows, (wanted, wanted))
    np.savez(tmp_path / "other.npz", z=np.ones((1, 4), np.float32))
    with pytest.raises(child.Refused, match="found the arrays z, expected one named x"):
        child.read_inputs(tmp_path / "other.npz", (wanted,))
    for content in (b"", b"text"):
        (tmp_path / "text.npy").write_bytes(content)
        with pytest.raises(child.Refused, match=r"text\.npy: found no arrays"):
            child.read_inputs(tmp_path / "text.npy", (wanted,))


def test_a_broken_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(BadInputError, match=r"broken\.npz: found no arrays that numpy can read"):
        profile(write_onnx(tmp_path / "m.onnx"), "onnxruntime", tmp_path / "broken.npz", "a", SHORT)


def test_what_cannot_be_profiled_is_refused_before_a_child_is_started(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    monkeypatch.setattr(session.subprocess, "Popen", None)
    with pytest.raises(BadInputError, match=r"none\.onnx: found no file"):
        profile(tmp_path / "none.onnx", "onnxruntime", rows, "a", SHORT)
    with pytest.raises(BadInputError, match=r"none\.npy: found no file, expected its inputs"):
        profile(model, "onnxruntime", tmp_path / "none.npy", "a", SHORT)
    with pytest.raises(BadInputError, match="'onnxruntim'") as caught:
        profile(model, "onnxruntim", rows, "a", SHORT)
    assert "did you mean 'onnxruntime'" in caught.value.hint


def test_a_missing_runtime_is_named_with_what_installs_it(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "find_spec", lambda _: None)
    model = write_onnx(tmp_path / "m.onnx")
    with pytest.raises(MissingExtraError, match="'ai-edge-litert'") as caught:
        profile(model, "tflite", rows, "a", SHORT)
    assert "edgekd[litert]" in caught.value.hint
    with pytest.raises(BadInputError, match="'onnxruntime'"):
        profile(model, "onnxruntime", rows, "a", SHORT)


@pytest.mark.parametrize("changed", [{"threads": 0}, {"min_runs": 0}, {"min_seconds": -1.0}])
def test_a_plan_without_runs_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="to profile with"):
        Plan(**changed)


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have a script run in place of the child."""
    (tmp_path / "child.py").write_text(textwrap.dedent(code))
    monkeypatch.setattr(session, "__file__", str(tmp_path / "session.py"))


def test_a_child_that_dies_is_reported_with_its_last_lines(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    stand_in(tmp_path, monkeypatch, "import sys; [print('line', n, file=sys.stderr) for n in range(9)]; sys.exit(3)")
    with pytest.raises(StageError, match=r"m\.onnx.*ended with code 3(.|\n)*line 8") as caught:
        profile(model, "onnxruntime", rows, "a", SHORT)
    assert "line 3" not in caught.value.message
    stand_in(tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(StageError, match="was killed by signal 9") as caught:
        profile(model, "onnxruntime", rows, "a", SHORT)
    assert "memory" in caught.value.hint


def test_noise_on_stdout_does_not_hide_the_answer(tmp_path: Path, rows: Path) -> None:
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(child.__file__).parent)!r})
        import child
        child.read_energy = lambda: os.write(1, b"noise of a runtime") and "none here"
        child.main()
        os.write(1, b"noise at exit")
    """
    request = {
        "model": str(write_onnx(tmp_path / "m.onnx")),
        "runtime": "onnxruntime",
        "threads": 1,
        "inputs": str(rows),
        "samples": str(tmp_path / "samples"),
        "min_runs": 5,
        "min_seconds": 0,
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["runs"] == 5
    assert answer["energy"] == ["none here", "none here"]
    assert "noise of a runtime" in done.stderr
    assert "noise at exit" in done.stderr


def test_the_child_runs_as_a_module_and_needs_nothing_else_of_edgekd(tmp_path: Path, rows: Path) -> None:
    request = child.Request(str(tmp_path / "none.onnx"), "onnxruntime", 1, str(rows), str(tmp_path / "s"), 1, 0.0)
    text = json.dumps({name: getattr(request, name) for name in request.__slots__})
    command = [sys.executable, "-m", "edgekd.profile.child"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert "cannot load it" in json.loads(done.stdout)["refused"]
    code = "import sys, edgekd.profile.child; print(*(name for name in sys.modules if name.startswith('edgekd')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["edgekd", "edgekd.profile", "edgekd.profile.child"]


def test_an_interrupt_kills_and_reaps_the_child_and_leaves_no_files(tmp_path: Path, rows: Path) -> None:
    import psutil

    code = f"""
        import psutil
        from pathlib import Path
        from edgekd.profile.session import Plan, profile
        model, rows = Path({str(write_onnx(tmp_path / "m.onnx"))!r}), Path({str(rows)!r})
        try:
            profile(model, "onnxruntime", rows, "a", Plan(min_seconds=600))
        except KeyboardInterrupt:
            print("left:", psutil.Process().children())
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    try:
        while not list(scratch.glob("*/samples.i64")) and parent.poll() is None:
            time.sleep(0.02)  # until the child is measuring
        children = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGINT)
        output, _ = parent.communicate(timeout=30)
    finally:
        parent.kill()
        parent.wait()
    assert len(children) == 1
    assert output == "left: []\n"
    assert not children[0].is_running()
    assert list(scratch.iterdir()) == []


def test_warm_up_ends_once_it_gets_no_faster() -> None:
    durations_ns = iter([*(100_000_000 - 5_000_000 * n for n in range(16)), *[20_000_000] * 100])
    now = 0

    def invoke() -> None:
        nonlocal now
        now += next(durations_ns)

    taken, settled = child.warm_up(invoke, lambda: now)
    assert settled
    assert (
        len(taken) == 29
    )  # 16 falling, then 5 of 8 fast ones give a window a fast median, and the 8 after it are no faster
    assert taken[0] == pytest.approx(0.1)


def test_warm_up_lasts_a_least_time_and_gives_up_after_a_longest() -> None:
    now, step = 0, 1_000_000

    def invoke() -> None:
        nonlocal now
        now += step

    taken, settled = child.warm_up(invoke, lambda: now)
    assert settled
    assert len(taken) == pytest.approx(100, abs=1)  # 0.1 s of 1 ms
    now, lasts = 0, 2_000_000_000

    def faster() -> None:
        nonlocal now, lasts
        lasts = int(lasts * 0.97)
        now += lasts

    taken, settled = child.warm_up(faster, lambda: now)
    assert not settled
    assert len(taken) == 16


def test_every_run_is_written_once_in_order() -> None:
    for runs in (1, child.BLOCK - 1, child.BLOCK, 2 * child.BLOCK + 5):
        sink = io.BytesIO()
        assert child.time_runs(lambda: None, runs, 0.0, sink) == runs
        written = array("q")
        written.frombytes(sink.getvalue())
        assert len(written) == runs
        assert all(duration >= 0 for duration in written)


def zone(root: Path, folder: str, name: str, energy_uj: int) -> None:
    (root / folder).mkdir()
    (root / folder / "name").write_text(name + "\n")
    (root / folder / "energy_uj").write_text(f"{energy_uj}\n")
    (root / folder / "max_energy_range_uj").write_text("1000000\n")


def test_energy_counts_packages_and_their_memory_once(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 10)
    zone(tmp_path, "intel-rapl:0:0", "core", 20)
    zone(tmp_path, "intel-rapl:0:1", "dram", 30)
    zone(tmp_path, "intel-rapl:1", "package-1", 40)
    zone(tmp_path, "intel-rapl:1:0", "dram", 50)
    zone(tmp_path, "intel-rapl:2", "psys", 60)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 70)
    (tmp_path / "intel-rapl").mkdir()
    found = child.read_energy(tmp_path)
    assert isinstance(found, dict)
    assert sorted(energy for energy, _ in found.values()) == [10, 30, 40, 50]
    assert {largest for _, largest in found.values()} == {1_000_000}


def test_energy_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert child.read_energy(tmp_path / "none") == "no energy counter on this machine"
    zone(tmp_path, "intel-rapl:0", "package-0", 10)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert "not readable" in child.read_energy(tmp_path)

    def refuse(_: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert child.read_energy(tmp_path) == "the energy counter is readable by root only"


def test_energy_per_run_adds_the_counters_and_follows_one_around() -> None:
    before = {"0/package-0": (900_000, 1_000_000), "0/dram": (5, 1_000_000)}
    after = {"0/package-0": (100_000, 1_000_000), "0/dram": (100_005, 1_000_000)}
    assert energy_per_run(before, after, 3) == (pytest.approx(0.1), "")
    assert energy_per_run(before, before, 3) == (None, "the energy counter of this machine does not count")
    assert energy_per_run("why", after, 3) == (None, "why")
    assert energy_per_run(before, "gone", 3) == (None, "gone")


def test_worked_examples() -> None:
    found = doctest.testmod(session)
    assert found.failed == 0
    assert found.attempted >= 1
