"""A session: a model file is measured in a process of its own, or refused."""

import doctest
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from adders import write_onnx, write_tflite

from edgekd.errors import BadInputError, MissingExtraError, StageError
from edgekd.profile import answer, child
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.rules import Plan
from edgekd.targets import Subject, host
from edgekd.targets.host import HostSession

SHORT = Plan(min_runs=20, min_seconds=0.05)


def profile(model: Path, runtime: str, inputs: Path, artifact: str, plan: Plan) -> tuple[Measurement, ...]:
    with HostSession() as session:
        return session.measure(Subject(artifact, model, runtime, inputs), plan)


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
        "cold_start": "s",
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


def test_a_broken_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(BadInputError, match=r"broken\.npz: found no arrays that numpy can read"):
        profile(write_onnx(tmp_path / "m.onnx"), "onnxruntime", tmp_path / "broken.npz", "a", SHORT)


def test_what_cannot_be_profiled_is_refused_before_a_child_is_started(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    monkeypatch.setattr(host.subprocess, "Popen", None)
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
    monkeypatch.setattr(host, "find_spec", lambda _: None)
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
    monkeypatch.setattr(host.children, "__file__", str(tmp_path / "child.py"))


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


def test_an_interrupt_kills_and_reaps_the_child_and_leaves_no_files(tmp_path: Path, rows: Path) -> None:
    code = f"""
        import psutil
        from pathlib import Path
        from edgekd.profile.rules import Plan
        from edgekd.targets import Subject
        from edgekd.targets.host import HostSession
        model, rows = Path({str(write_onnx(tmp_path / "m.onnx"))!r}), Path({str(rows)!r})
        try:
            HostSession().measure(Subject("a", model, "onnxruntime", rows), Plan(min_seconds=600))
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


def test_worked_examples() -> None:
    found = doctest.testmod(answer)
    assert found.failed == 0
    assert found.attempted >= 1
