"""Sessions on another machine, with this one's own shell in its place: what is run, read, refused and removed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from adders import write_tflite
from boards import LONG, SHORT, STRANGE, beside_its_weights, by_metric, session, subject, write_device

from edgekd import targets
from edgekd.errors import BadInputError, StageError
from edgekd.profile.measurement import Provenance
from edgekd.profile.rules import Plan
from edgekd.targets import remote, remote_energy, scripts
from edgekd.targets.connection import Ended, LostError, words
from edgekd.targets.local import Local
from edgekd.targets.remote import RemoteSession


def left(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "there it's $(touch pwned)").iterdir())


def test_a_session_measures_and_leaves_nothing(tmp_path: Path) -> None:
    with session(tmp_path) as opened:
        found = by_metric(opened.measure(subject(tmp_path), SHORT))
        identity = opened.identity
    assert {one.provenance for one in found.values()} == {Provenance.ON_DEVICE}
    assert len(found["latency"].values) >= 20
    assert all(len(found[name].values) == 1 for name in ("load_time", "first_inference", "cold_start", "peak_memory"))
    assert "names no [reach.energy]" in found["energy"].unavailable
    for name in ("cpu", "cores", "os", "onnxruntime", "governor", "temperature_celsius", "throttled", "accelerator"):
        assert found["latency"].conditions[name]
    assert "cpu: " in identity
    assert "onnxruntime: " in identity
    assert left(tmp_path) == []
    assert not list(Path().glob("pwned"))


def test_a_tflite_file_is_measured_by_the_devices_python(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    onnx = subject(tmp_path)
    with session(tmp_path) as opened:
        measured = targets.Subject("mine", write_tflite(tmp_path / "m.tflite"), "tflite", onnx.inputs)
        found = by_metric(opened.measure(measured, SHORT))
        assert found["latency"].conditions["runtime"] == "tflite"
    assert len(found["latency"].values) >= 20
    assert left(tmp_path) == []


def test_arguments_reach_the_program_as_they_are(tmp_path: Path) -> None:
    generator = random.Random(0)  # noqa: S311 (the same each time)
    letters = " \t\n'\"$()`\\;&|<>*?[]{}~#!%=-abcü"
    drawn = ["".join(generator.choices(letters, k=generator.randint(1, 12))) for _ in range(200)]
    with session(tmp_path) as opened:
        found = opened._connection.run(words(["printf", "%s\\0", *STRANGE, *drawn]))
    assert found.code == 0
    assert found.text.split("\0")[:-1] == [*STRANGE, *drawn]


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    with session(tmp_path) as opened:
        assert opened.measure(subject(tmp_path, f"{''.join(STRANGE)}\n.onnx"), SHORT)
    assert not list(tmp_path.rglob("pwned"))


def test_its_weights_may_have_any_name_but_that_of_a_sessions_own_files(tmp_path: Path) -> None:
    strange = "it's $(touch pwned)`touch pwned`\n &*.data"
    with session(tmp_path) as opened:
        assert opened.measure(beside_its_weights(tmp_path, "m.onnx", strange), SHORT)
        for taken in ("guard", "answer.json", "child.py", "model.onnx"):
            refused = pytest.raises(BadInputError, match=f"found external data named '{taken}', as a session calls")
            with refused as caught:
                opened.measure(beside_its_weights(tmp_path, f"of {taken}.onnx", taken), SHORT)
        assert "under another name" in caught.value.hint
        assert opened.measure(subject(tmp_path), SHORT)
    assert left(tmp_path) == []
    assert not list(tmp_path.rglob("pwned"))


def test_a_device_that_is_full_when_a_runner_is_to_start_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be noted could not be ended if the connection broke."""
    monkeypatch.setattr(scripts, "NOTE", scripts.NOTE.replace("pids", "/dev/full"))
    refused = pytest.raises(StageError, match=r"ended with code 1(.|\n)*what runs: the disk may be full")
    with session(tmp_path) as opened, refused as caught:
        opened.measure(subject(tmp_path), SHORT)
    assert "make room there" in caught.value.hint
    assert left(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can only be mounted by root")
def test_this_machine_without_room_for_samples_is_named_and_not_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=True)
    try:
        with session(tmp_path) as opened:
            monkeypatch.setattr(tempfile, "tempdir", str(small))
            refused = pytest.raises(targets.IncompleteError, match=f"this machine has no room left in {small}, where")
            with refused as caught:
                opened.measure(subject(tmp_path), LONG)
        assert "TMPDIR" in caught.value.hint
        assert len(caught.value.measured[0].values) > 10_000
    finally:
        monkeypatch.undo()
        subprocess.run(["umount", small], check=True)
    assert left(tmp_path) == []


def test_samples_are_kept_when_the_connection_is_lost_and_the_device_cleans_up(tmp_path: Path) -> None:
    opened = session(tmp_path)
    guard, begun = opened._connection._guard, opened._connection.start

    def lost(script: str, output: object, noise: object) -> subprocess.Popen[bytes]:
        process = begun(script, output, noise)  # type: ignore[arg-type]
        if "child.py" in script:
            time.sleep(4)  # more than two seconds of samples
            process.kill()
            guard.stdin.close()  # type: ignore[union-attr]
        return process

    opened._connection.start = lost  # type: ignore[assignment]
    with (
        pytest.raises(targets.IncompleteError, match=r"connection was lost(.|\n)*runs were measured") as caught,
        opened,
    ):
        opened.measure(subject(tmp_path), LONG)
    (kept,) = caught.value.measured
    assert len(kept.values) > 100
    assert kept.conditions["incomplete"].startswith("yes: here: the connection was lost")
    error = caught.value.kept(tmp_path / "kept.npz")
    assert (tmp_path / "kept.npz").is_file()
    assert "marked incomplete, in" in error.message
    for _ in range(600):
        if not left(tmp_path):
            break
        time.sleep(0.05)
    assert left(tmp_path) == []
    assert not runs_somewhere("child.py request.json")


def runs_somewhere(text: str) -> bool:
    done = subprocess.run(["pgrep", "-f", f"^[^ ]*python[^ ]* {text}"], capture_output=True, check=False)
    return done.returncode == 0


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bool:
        time.sleep(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "_waited", interrupted)
    with pytest.raises(KeyboardInterrupt), session(tmp_path) as opened:
        opened.measure(subject(tmp_path), LONG)
    assert left(tmp_path) == []
    assert not runs_somewhere("child.py request.json")


def test_a_runner_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SAMPLES_S", 0.3)
    monkeypatch.setattr(remote.PythonRunner, "_by", lambda *_: "sleep 600")
    with pytest.raises(StageError, match="gave no sample for 0 s; 0 runs were measured"), session(tmp_path) as opened:
        opened.measure(subject(tmp_path), SHORT)
    assert left(tmp_path) == []


def test_a_runner_that_dies_is_reported_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote.PythonRunner, "_by", lambda *_: "sh -c 'echo no luck >&2; kill -9 $$'")
    with session(tmp_path) as opened, pytest.raises(StageError, match=r"killed by signal 9(.|\n)*no luck") as caught:
        opened.measure(subject(tmp_path), SHORT)
    assert "memory" in caught.value.hint
    assert left(tmp_path) == []


def test_the_samples_of_a_runner_that_dies_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote.PythonRunner, "_by", lambda *_: "sh -c 'head -c 804 /dev/zero; exit 5'")
    refused = pytest.raises(targets.IncompleteError, match=r"ended with code 5(.|\n)*100 runs were measured until then")
    with session(tmp_path) as opened, refused as caught:
        opened.measure(subject(tmp_path), SHORT)
    assert len(caught.value.measured[0].values) == 100  # the last one was cut off


def test_a_device_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ROOM", 1e12)
    with pytest.raises(StageError, match=r"found \d+ MB free in .*, expected \d+ MB"), session(tmp_path) as opened:
        opened.measure(subject(tmp_path), SHORT)
    assert left(tmp_path) == []


def test_a_device_without_a_runtime_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("edgekd.targets.runners.BUILT", Path("nonexistent"))
    refused = pytest.raises(BadInputError, match="found neither onnxruntime in its Python nor a runner")
    with session(tmp_path, python="/nonexistent/python") as opened, refused as caught:
        opened.measure(subject(tmp_path), SHORT)
    assert "pip install onnxruntime" in caught.value.hint
    assert f"or put onnxruntime_perf_test into {tmp_path}/edgekd/runners/" in caught.value.hint


def test_a_runner_for_another_processor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runner").mkdir()
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (8).to_bytes(2, "little")  # MIPS
    (tmp_path / "runner" / "runner").write_bytes(head)
    (tmp_path / "runner" / "libonnxruntime.so").touch()
    for runner, message in (
        ("runner", "a runner for machine 8, expected one for the"),
        ("none", "found no .*which .reach. names as runner"),
    ):
        refused = pytest.raises(BadInputError, match=message)
        with refused, session(tmp_path, python="/nonexistent/python", runner=runner) as opened:
            opened.measure(subject(tmp_path), SHORT)


def test_a_folder_that_cannot_be_made_ends_with_the_reason(tmp_path: Path) -> None:
    there = write_device(tmp_path / "board.toml", target="ssh", host="here")
    with pytest.raises(StageError, match=r"here: can't begin a session in /nonexistent: .*mktemp"):
        RemoteSession(Local("here"), there, "/nonexistent")


def test_a_corrupt_model_is_refused_as_on_this_host(tmp_path: Path) -> None:
    broken = subject(tmp_path)
    broken.path.write_bytes(broken.path.read_bytes()[:-20])
    with session(tmp_path) as opened, pytest.raises(BadInputError):
        opened.measure(broken, SHORT)
    assert left(tmp_path) == []


def test_busy_cores_and_a_limit_on_memory_apply_there_too(tmp_path: Path) -> None:
    with session(tmp_path) as opened:
        plan = Plan(min_runs=20, min_seconds=0.05, load=1, memory_limit_bytes=8 * 10**9)
        found = by_metric(opened.measure(subject(tmp_path), plan))["latency"]
        assert found.conditions["busy_cores"] == "1"
        assert found.conditions["memory_limit"] == "8000000000 B by address space (setrlimit)"
        with pytest.raises(StageError, match="its last words"):
            opened.measure(subject(tmp_path), Plan(min_runs=20, min_seconds=0, memory_limit_bytes=30 * 10**6))
    assert not runs_somewhere("while")


def test_energy_is_power_above_rest_times_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rail that tells 3 W while a file runs, and 1 W at rest."""
    monkeypatch.setattr(remote_energy, "REST_S", 1.0)
    monkeypatch.setattr(remote_energy, "PAUSE_S", 0.01)
    monkeypatch.setattr("edgekd.targets.runners.MIN_S", 1.0)
    ran, begun = tmp_path / "ran", remote.PythonRunner._by

    def marked(self: remote.PythonRunner, request: str) -> str:
        command = begun(self, request)
        return command if request == "request.json" else words(["sh", "-c", f"echo > {ran}; {command}; rm {ran}"])

    monkeypatch.setattr(remote.PythonRunner, "_by", marked)
    energy = {"command": ["sh", "-c", f"[ -e {ran} ] && echo 3000 || echo 1000"], "unit": "mW"}
    there = write_device(tmp_path / "board.toml", target="ssh", host="here", python=sys.executable)
    assert there.reach is not None
    source = there.reach.model_validate({**there.reach.model_dump(), "energy": energy})
    opened = session(tmp_path)
    opened._device = there.model_copy(update={"reach": source})
    with opened:
        found = by_metric(opened.measure(subject(tmp_path), SHORT))
    values = found["latency"].values
    mean_s = sum(values) / len(values)
    (joules,) = found["energy"].values
    assert 1.0 * mean_s < joules <= 2.0 * mean_s * 1.001  # a reading or two may be of the start or the end
    assert float(found["energy"].conditions["power_at_rest_w"]) == 1.0
    assert int(found["energy"].conditions["readings"]) >= remote_energy.LEAST_READINGS


def test_what_was_measured_is_kept_when_the_connection_is_lost_in_the_run_for_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_energy, "REST_S", 30.0)
    there = write_device(tmp_path / "board.toml", target="ssh", host="here", python=sys.executable)
    assert there.reach is not None
    source = there.reach.model_validate({**there.reach.model_dump(), "energy": {"command": ["echo", "1"]}})
    opened = session(tmp_path)
    opened._device, asked = there.model_copy(update={"reach": source}), opened._connection.run

    def lost(script: str, **options: float) -> Ended:
        if "sleep 30" in script:
            options["wait_s"] = 0.2
        return asked(script, **options)

    opened._connection.run = lost  # type: ignore[method-assign, assignment]
    with pytest.raises(targets.IncompleteError, match=r"lost(.|\n)*all but energy was measured") as caught, opened:
        opened.measure(subject(tmp_path), SHORT)
    found = by_metric(caught.value.measured)
    assert {"latency", "peak_memory", "load_time"} <= found.keys()
    assert "energy" not in found
    assert all(one.conditions["incomplete"].startswith("yes: energy is missing: here: ") for one in found.values())
    assert len(found["latency"].values) >= SHORT.min_runs


def test_energy_without_numbers_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_energy, "REST_S", 0.1)
    monkeypatch.setattr("edgekd.targets.runners.MIN_S", 0.1)
    opened = session(tmp_path)
    reach = opened._device.reach
    assert reach is not None
    changed = reach.model_validate({**reach.model_dump(), "energy": {"file": "/nonexistent/power"}})
    opened._device = opened._device.model_copy(update={"reach": changed})
    with opened:
        found = by_metric(opened.measure(subject(tmp_path), SHORT))
    assert "gave 0 readings while running and 0 at rest" in found["energy"].unavailable


def test_a_command_without_an_ending_is_a_lost_connection(tmp_path: Path) -> None:
    with session(tmp_path) as opened, pytest.raises(LostError, match="the connection was lost: no answer"):
        opened._connection.run("sleep 60", wait_s=0.2)
