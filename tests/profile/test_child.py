"""The process that is measured: what it takes as inputs, how it warms up and runs, and what it answers."""

import io
import json
import subprocess
import sys
import textwrap
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adders import write_onnx

from edgekd.profile import child


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


def asked(**given: Any) -> child.Request:
    fixed = {"model": "m", "runtime": "onnxruntime", "threads": 1, "inputs": "i", "samples": "s"}
    return child.Request(**{**fixed, "min_runs": 1, "min_seconds": 0.0, **given})


def test_every_run_is_written_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for runs, flush_ns in ((1, 10**12), (child.BLOCK - 1, 10**12), (child.BLOCK, 10**12), (2 * child.BLOCK + 5, 1)):
        monkeypatch.setattr(child, "FLUSH_NS", flush_ns)
        sink = io.BytesIO()
        assert child.time_runs(lambda: None, asked(min_runs=runs), sink) == (runs, 0)
        written = array("q")
        written.frombytes(sink.getvalue())
        assert len(written) == runs
        assert all(duration >= 0 for duration in written)


def test_a_sustained_session_ends_once_the_speed_is_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    now, taken_ns = 0, iter([*range(1_000_000_000, 2_000_000_000, 10_000_000), *[2_000_000_000] * 10_000])

    def clock() -> int:
        return now

    def invoke() -> None:
        nonlocal now
        now += next(taken_ns)

    monkeypatch.setattr(child.time, "perf_counter_ns", clock)
    runs, steady = child.time_runs(invoke, asked(min_seconds=600.0, sustained=True), io.BytesIO())
    assert 100 + 2 * child.STEADY_WINDOWS < runs < 200  # 150 s of slowing down, then four windows of 30 s
    assert 4 * 15 <= steady <= 4 * 16 + 4
    assert child.time_runs(invoke, asked(min_seconds=100.0, sustained=True), io.BytesIO()) == (50, 0)


def test_a_request_and_its_answer_can_be_files_and_the_samples_the_output(tmp_path: Path, rows: Path) -> None:
    request = asked(model=str(write_onnx(tmp_path / "m.onnx")), inputs=str(rows), samples="-", min_runs=5, pin=True)
    (tmp_path / "request").write_text(json.dumps({name: getattr(request, name) for name in request.__slots__}))
    command = [sys.executable, str(child.__file__), str(tmp_path / "request"), str(tmp_path / "answer")]
    done = subprocess.run(command, capture_output=True, check=True)
    answer = json.loads((tmp_path / "answer").read_text())
    assert len(done.stdout) == 5 * 8
    assert (answer["runs"], answer["steady_runs"]) == (5, 0)
    assert answer["core"] is not None
    assert 0 < answer["load_time_s"] + answer["first_inference_s"] < answer["cold_start_s"] < 60
