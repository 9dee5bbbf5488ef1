"""The target ssh against a real sshd on loopback."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from boards import SHORT, STRANGE, begin, build_runner, by_metric, measuring, subject, wait_until, write_device
from daemons import sshd
from workshop import Built

from edgekd import device, targets
from edgekd.errors import EXIT_INTERRUPTED, EXIT_STAGE, BadInputError, StageError
from edgekd.profile import saved
from edgekd.targets import ssh


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with sshd(tmp_path_factory.mktemp("sshd")) as path:
        yield path


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The folder in which sessions make theirs."""
    folder = tmp_path / f"there {''.join(STRANGE)}"
    folder.mkdir()
    return folder


def board(config: Path, there: Path, **reach: object) -> device.Device:
    given = {"target": "ssh", "host": "board", "config": str(config), "folder": str(there), "python": sys.executable}
    return write_device(there.parent / "board.toml", **{**given, **reach})


@pytest.mark.system
def test_a_board_measures_with_its_own_python_and_keeps_nothing(config: Path, there: Path, tmp_path: Path) -> None:
    with targets.measuring(board(config, there)) as session:
        found = by_metric(session.measure(subject(tmp_path), SHORT))
        assert list(there.iterdir())
    assert len(found["latency"].values) >= SHORT.min_runs
    assert found["latency"].conditions["runner"] == f"Python ({sys.executable})"
    assert list(there.iterdir()) == []
    assert not list(Path().rglob("pwned"))


@pytest.mark.system
def test_this_machines_own_folder_for_sockets_may_have_any_name(
    config: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="e $k%h ") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        with targets.measuring(board(config, there)) as session:
            assert "cpu: " in session.identity
            assert [path.name.startswith("edgekd-ssh-") for path in Path(folder).iterdir()] == [True]
        assert list(Path(folder).iterdir()) == []


@pytest.mark.system
def test_a_board_without_python_measures_with_our_runner(config: Path, there: Path, tmp_path: Path) -> None:
    runner = build_runner(tmp_path / "runner")
    one = board(config, there, python="no-python", runner=str(runner))
    with targets.measuring(one) as session:
        found = by_metric(session.measure(subject(tmp_path), SHORT))
    assert found["latency"].conditions["runner"] == "edgekd's runner"
    assert len(found["latency"].values) >= SHORT.min_runs
    assert len(found["latency"].warmups) >= 16
    base, load = (int(found["peak_memory"].conditions[name]) for name in ("base_memory_bytes", "load_peak_bytes"))
    assert 2**20 < base <= load <= found["peak_memory"].values[0] < 2**30
    assert 0 < found["load_time"].values[0] < found["cold_start"].values[0]
    assert list(there.iterdir()) == []


@pytest.mark.system
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_after_ctrl_c_or_when_edgekd_is_killed(
    way: signal.Signals, config: Path, there: Path, tmp_path: Path
) -> None:
    with begin(subject(tmp_path).path, board(config, there)) as process:
        wait_until(lambda: measuring(there))
        os.killpg(process.pid, way)
        process.communicate(timeout=60)
        wait_until(lambda: not list(there.iterdir()))
    assert process.returncode == (EXIT_INTERRUPTED if way is signal.SIGINT else -way)


@pytest.mark.system
def test_a_killed_connection_ends_with_3_keeps_the_samples_and_leaves_nothing(
    config: Path, there: Path, tmp_path: Path
) -> None:
    import psutil

    daemon = int((config.parent / "pid").read_text())
    with begin(subject(tmp_path).path, board(config, there)) as process:
        wait_until(lambda: measuring(there))
        time.sleep(5)  # of import and warm-up, and more than two seconds of samples
        for child in psutil.Process(daemon).children():
            child.kill()
        _, errors = process.communicate(timeout=60)
        wait_until(lambda: not list(there.iterdir()))
    assert process.returncode == EXIT_STAGE, errors
    assert "the connection was lost" in errors
    assert "marked incomplete, in m.incomplete.npz" in errors
    (kept,) = saved.load(tmp_path / "m.incomplete.npz")
    assert len(kept.values) > 100


@pytest.mark.system
def test_a_host_that_lets_nobody_in_says_what_to_do(config: Path, there: Path) -> None:
    refusing = config.parent / "refusing"
    refusing.write_text(config.read_text().replace("/client", "/host"))
    with pytest.raises(StageError, match=r"board: can't begin a session in .*: .*Permission denied") as caught:
        targets.measuring(board(refusing, there))
    assert "ssh-copy-id" in caught.value.hint
    stranger = config.parent / "stranger"
    stranger.write_text(config.read_text().replace("/known", "/nobody"))
    with pytest.raises(StageError, match="Host key verification failed") as caught:
        targets.measuring(board(stranger, there))
    assert "so that its key is known" in caught.value.hint


def test_a_device_file_that_ssh_cannot_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"found no host in \[reach\]"):
        ssh.prepare(write_device(tmp_path / "b.toml", target="ssh"))
    with pytest.raises(BadInputError, match=r"found a serial in \[reach\]"):
        ssh.prepare(write_device(tmp_path / "b.toml", target="ssh", host="a", serial="b"))


def test_a_missing_ssh_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInputError, match="found no program 'ssh'") as caught:
        ssh.prepare(write_device(tmp_path / "b.toml", target="ssh", host="a"))
    assert "apt-get install openssh-client" in caught.value.hint


@pytest.mark.system
def test_a_build_is_judged_by_what_was_measured_on_the_board(config: Path, there: Path, built: Built) -> None:
    lines = {"target": "ssh", "host": "board", "config": str(config), "folder": str(there), "python": sys.executable}
    reach = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    (built.workshop.folder / "board.toml").write_text(f'like = "pixel8"\n[reach]\n{reach}')
    command = ("build", "tiny.toml", "--device", "board.toml", "--quick", "-o", "out", "--require", "on_device")
    ran = built.workshop.run(*command, "--json", "-q")
    report = json.loads(ran.out)
    assert ran.code == report["exit_code"]
    measured = [row for row in report["measurements"] if row["provenance"] == "on_device"]
    assert {row["metric"] for row in measured} >= {"latency", "peak_memory", "load_time", "size"}
    assert {row["artifact"] for row in measured} >= {"onnx_int8", "tflite_int8", "onnx_float", "teacher_onnx"}
    assert all(row["conditions"]["runner"] == f"Python ({sys.executable})" for row in measured)
    judged = {(row["artifact"], row["metric"]): row["provenance"] for row in report["checks"]}
    for artifact in ("onnx_int8", "tflite_int8"):
        assert {judged[artifact, metric] for metric in ("latency_p95", "peak_memory")} == {"on_device"}
    assert "(median on the device" in " ".join(report["notes"])
    assert list(there.iterdir()) == []
    again = json.loads(built.workshop.run(*command, "--json", "-q").out)
    assert all(step["cached"] for step in again["steps"])
