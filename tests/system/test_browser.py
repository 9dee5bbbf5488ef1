"""The target browser in a real Chromium: tiny models measured, refused, interrupted and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import warm
from adders import write_onnx, write_tflite
from workshop import Built, Workshop

from edgekd import device, targets
from edgekd.cli import run
from edgekd.device import Device
from edgekd.errors import BadInputError, StageError
from edgekd.profile import child
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.rules import QUICK_RUNS, Plan
from edgekd.runtimes import RUNTIMES
from edgekd.targets import Subject, browser, browser_outputs, browser_page
from edgekd.targets.browser_server import served

pytestmark = pytest.mark.system
SHORT = Plan(min_runs=20, min_seconds=0.05)
WRITE = {"onnxruntime": write_onnx, "tflite": write_tflite}
PACKAGES = {"onnxruntime": "onnxruntime-web", "tflite": "@litertjs/core"}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", np.arange(40, dtype=np.float32).reshape(10, 4))
    return tmp_path / "rows.npy"


@pytest.fixture
def desktop(tmp_path: Path, modules: Path) -> Device:
    (tmp_path / "mine.toml").write_text(
        f'like = "desktop-browser"\n[reach]\ntarget = "browser"\npackages = "{modules}"\n'
    )
    return device.load(str(tmp_path / "mine.toml"))


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process and no file of the browser outlives a test."""
    with tempfile.TemporaryDirectory(prefix="e", dir="/tmp") as short:  # Chromium makes a socket below it
        monkeypatch.setenv("TMPDIR", short)
        yield
        started = psutil.Process().children(recursive=True)
        assert not [each for each in started if warm.__file__ not in each.cmdline()]
        assert not list(Path(short).glob("playwright*"))


def pages(process: psutil.Process) -> Iterator[psutil.Process]:
    """The browser's processes in which pages run."""
    for each in process.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if "--type=renderer" in each.cmdline():
                yield each


def measure(desktop: Device, subject: Subject, plan: Plan) -> dict[str, Measurement]:
    with targets.measuring(desktop) as session:
        return {one.metric: one for one in session.measure(subject, plan)}


# the second thread costs a minute of waiting (see docs/devices.md)
@pytest.mark.parametrize(("runtime", "threads"), [("onnxruntime", 1), ("tflite", 1), ("onnxruntime", 2)])
def test_a_model_has_every_figure_of_the_browser(
    runtime: str, threads: int, desktop: Device, tmp_path: Path, rows: Path
) -> None:
    model = WRITE[runtime](tmp_path / f"m{RUNTIMES[runtime].SUFFIX}")
    plan = Plan(threads, SHORT.min_runs, SHORT.min_seconds)
    found = measure(desktop, Subject("key", model, runtime, rows), plan)
    missing = {name for name, one in found.items() if one.unavailable}
    assert missing <= {"energy"}
    assert {one.provenance for one in found.values()} == {Provenance.ON_DEVICE}
    timed_apart = found.get("single_run")  # where a run may be shorter than a step of the browser's clock
    assert all(value > 0 for one in found.values() if one is not timed_apart for value in one.values)
    assert timed_apart is None or min(timed_apart.values) >= 0
    latency = found["latency"]
    said = latency.conditions
    assert (said["isolated"], said["threads"], said["runtime"]) == ("yes", str(threads), runtime)
    assert said["engine"].startswith(PACKAGES[runtime])
    assert said["browser"].startswith(("Chromium", "Google Chrome"))
    assert said["outputs_off"] == "0 from this machine's, of 0.0001 allowed, for the input that is timed"
    together = int(said["runs_per_sample"])
    assert float(said["timer_step_us"]) > 0
    assert ("single_run" in found) == (together > 1)
    assert len(found.get("single_run", latency).values) == together * len(latency.values)
    assert len(latency.values) >= SHORT.min_runs
    assert len(latency.warmups) >= 2 * child.WARMUP_WINDOW
    assert sum(latency.values) * together == pytest.approx(sum(found.get("single_run", latency).values))
    memory = found["peak_memory"]
    wasm = 16 * 2**20  # what both runtimes begin with
    assert 0 < int(memory.conditions["base_memory_bytes"]) < wasm
    assert wasm < memory.values[0] < found["renderer_peak_memory"].values[0]
    load = memory.conditions["load_peak_bytes"]
    assert load == "unknown" if threads > 1 else wasm < int(load) <= memory.values[0]


def test_figures_come_through_the_command_line(
    desktop: Device, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_onnx(tmp_path / "m.onnx", batch=1)
    assert run(["profile", str(model), "--device", str(desktop.path), "--quick", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["target"] == "browser"
    (latency,) = [one for one in shown["measurements"] if one["metric"] == "latency"]
    assert latency["provenance"] == "on_device"
    assert latency["n"] >= 64


def test_a_whole_build_is_measured_and_judged_in_the_browser(workshop: Workshop, desktop: Device) -> None:
    ran = workshop.run("build", workshop.pipeline("tiny"), "--device", str(desktop.path), "--quick", "-o", "out")
    assert ran.code in (0, 1, 4), ran.err  # how fast INT8 is here is not the question
    report = Built(workshop, ran).report
    rows = {(row["artifact"], row["metric"]): row for row in report["measurements"]}
    for artifact, engine in (("onnx_int8", "onnxruntime-web"), ("tflite_int8", "@litertjs/core")):
        latency, memory = rows[artifact, "latency"], rows[artifact, "peak_memory"]
        assert (latency["provenance"], memory["provenance"]) == ("on_device", "on_device")
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"]
        assert latency["n"] >= QUICK_RUNS
        said = latency["conditions"]
        assert said["engine"].startswith(engine)
        assert said["outputs_off"].endswith("allowed, over 17 inputs")  # the bundle's golden vectors, and the timed one
        assert memory["p50"] > 16 * 2**20
        judged = {check["metric"]: check for check in report["checks"] if check["artifact"] == artifact}
        assert judged["peak_memory"]["verdict"] == "pass"
        assert judged["latency_p95"]["provenance"] == "on_device"
    assert rows["onnx_float", "latency"]["conditions"]["outputs_off"].endswith("for the input that is timed")


def test_a_file_that_the_browser_cannot_run_is_refused_by_its_operator(
    desktop: Device, tmp_path: Path, rows: Path
) -> None:
    model = onnx.load(write_onnx(tmp_path / "m.onnx"))
    model.graph.node[0].op_type = "NoSuchOperator"
    subject = Subject("a", tmp_path / "m.onnx", "onnxruntime", rows)
    first = np.load(rows)[:1]
    files = {"/model": model.SerializeToString(), "/inputs/0/0": first.tobytes()}
    found = browser._Found(subject, SHORT, {"engine": "onnxruntime-web"})  # a session asks this machine first
    with (
        served(Path(desktop.reach.packages), files) as address,  # type: ignore[union-attr, arg-type]
        browser_page.opened(address, subject.path) as page,
        pytest.raises(BadInputError, match=r"m\.onnx: onnxruntime-web cannot load it: .*NoSuchOperator"),
    ):
        found._started(page, [first])


def test_wrong_outputs_are_found_before_anything_is_timed(desktop: Device, tmp_path: Path, rows: Path) -> None:
    other = onnx.load(write_onnx(tmp_path / "m.onnx"))
    subject = Subject("a", tmp_path / "m.onnx", "onnxruntime", rows)
    first = np.load(rows)[:1]
    expected = browser_outputs.expected(subject, [first])
    other.graph.node[0].op_type = "Neg"
    files = {"/model": other.SerializeToString(), "/inputs/0/0": first.tobytes()}
    found = browser._Found(subject, SHORT, {"engine": "onnxruntime-web"})
    with (
        served(Path(desktop.reach.packages), files) as address,  # type: ignore[union-attr, arg-type]
        browser_page.opened(address, subject.path) as page,
        pytest.raises(StageError, match="found the output 'y' 6 off in the browser"),
    ):
        found.load(page, [[first]], expected)


def kill_the_page() -> None:
    """End the page's process once it has worked for a while."""
    while True:
        time.sleep(0.1)
        for each in pages(psutil.Process()):
            if sum(each.cpu_times()[:2]) > 2:
                each.kill()
                return


def test_what_was_measured_before_a_page_crashed_is_kept(desktop: Device, tmp_path: Path, rows: Path) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    threading.Thread(target=kill_the_page, daemon=True).start()
    with pytest.raises(targets.IncompleteError, match=r"m\.onnx: the page ended during 'runs'.*crashed") as caught:
        measure(desktop, Subject("a", model, "onnxruntime", rows), Plan(min_seconds=600))
    (latency,) = caught.value.measured
    assert len(latency.values) > 1
    assert latency.conditions["incomplete"].startswith("yes: ")


def test_an_interrupt_ends_the_browser(desktop: Device, tmp_path: Path, rows: Path) -> None:
    model, script = write_onnx(tmp_path / "m.onnx"), tmp_path / "measuring.py"
    script.write_text(f"""
from pathlib import Path
from edgekd import device, targets
from edgekd.profile.rules import Plan
subject = targets.Subject("a", Path({str(model)!r}), "onnxruntime", Path({str(rows)!r}))
with targets.measuring(device.load({str(desktop.path)!r})) as session:
    session.measure(subject, Plan(min_seconds=600))
""")
    with subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, start_new_session=True) as process:
        while not list(pages(psutil.Process(process.pid))):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        noise = process.communicate()[1].decode()
    assert noise.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in noise


def test_packages_are_fetched_once_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run(["devices", "setup", "desktop-browser"]) == 0
    folder = Path(capsys.readouterr().out.strip().rpartition(" ")[2])
    made = folder.stat().st_ctime_ns
    assert run(["devices", "setup", "desktop-browser"]) == 0
    assert folder.stat().st_ctime_ns == made
    with targets.measuring(device.load("desktop-browser")) as session:
        assert "onnxruntime-web: 1" in session.identity
