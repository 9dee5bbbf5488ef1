"""What a killed session left on a device is removed by the next one, and nothing else is: with this machine's shell."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from boards import SHORT, by_metric, session, subject

from edgekd.targets.connection import Connection
from edgekd.targets.local import Local

NAMESPACE = Path("/proc/self/ns/pid").readlink()
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def opened(parent: Path) -> Connection:
    connection = Local("here")
    connection.open(str(parent))
    return connection


def left(parent: Path, name: str, guard: str | None) -> Path:
    """A folder as a session makes it, with a file in it."""
    folder = parent / name
    folder.mkdir()
    (folder / "model.onnx").touch()
    if guard is not None:
        (folder / "guard").write_text(guard)
    return folder


def ended_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def test_only_folders_whose_guard_is_gone_are_removed(tmp_path: Path) -> None:
    parent = tmp_path / "there it's $(touch pwned)"
    parent.mkdir()
    gone = [
        left(parent, "edgekd.aaaaaa", f"{ended_pid()} {BOOT}\n"),
        left(parent, "edgekd.bbbbbb", f"{os.getpid()} of-an-earlier-start\n"),
        left(parent, "edgekd.kkkkkk", f"{os.getpid()} of-an-earlier-start pid:[1]\n"),
        left(parent, "edgekd.llllll", f"{ended_pid()} {BOOT} {NAMESPACE}\n"),
        left(parent, "edgekd.cccccc", ""),  # the power went before it was on the disk
    ]
    elsewhere = left(tmp_path, "edgekd.dddddd", f"{ended_pid()} {BOOT}\n")
    (parent / "edgekd.eeeeee").symlink_to(elsewhere)
    (parent / "edgekd.ffffff").write_text("a file")
    kept = [
        left(parent, "edgekd.gggggg", f"{os.getpid()} {BOOT}\n"),  # a session of now
        left(parent, "edgekd.jjjjjj", f"{ended_pid()} {BOOT} pid:[1]\n"),  # of another container with the same folder
        left(parent, "edgekd.hhhhhh", None),  # not ours
        left(parent, "edgekd.toolong", f"{ended_pid()} {BOOT}\n"),
        left(parent, "other.iiiiii", f"{ended_pid()} {BOOT}\n"),
        elsewhere,
        parent / "edgekd.eeeeee",
        parent / "edgekd.ffffff",
    ]
    connection = opened(parent)
    assert sorted(connection.swept) == sorted(map(str, gone))
    assert not any(folder.exists() for folder in gone)
    assert all(path.exists() for path in kept)
    assert (elsewhere / "model.onnx").exists()
    connection.close()
    assert not list(tmp_path.rglob("pwned"))


def test_a_session_beside_another_one_leaves_it_alone(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert second.swept == ()
    assert Path(first.folder).is_dir()
    second.close()
    first.close()
    assert list(tmp_path.iterdir()) == []


def test_what_still_runs_in_the_folder_is_ended_and_other_processes_are_not(tmp_path: Path) -> None:
    folder = left(tmp_path, "edgekd.aaaaaa", f"{ended_pid()} {BOOT}\n")
    with (
        subprocess.Popen(["sleep", "600"], cwd=folder) as hung,
        subprocess.Popen(["sleep", "600"], cwd=tmp_path) as other,
    ):
        (folder / "pids").write_text(f"{hung.pid}\n{other.pid}\n")  # the number was given to another process since
        opened(tmp_path).close()
        assert hung.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()
    assert list(tmp_path.iterdir()) == []


def test_the_next_session_tells_of_it(tmp_path: Path) -> None:
    """The guard itself is killed, as by a device that runs out of memory; nothing is left that could clean up."""
    first = session(tmp_path)
    guard = first._connection._guard
    assert guard is not None
    with subprocess.Popen(["sleep", "600"], cwd=first._connection.folder) as runner:
        Path(first._connection.folder, "pids").write_text(f"{runner.pid}\n")
        guard.kill()
        guard.wait()
        assert Path(first._connection.folder).is_dir()
        with session(tmp_path) as second:
            found = by_metric(second.measure(subject(tmp_path), SHORT))
        assert runner.wait(10) == -signal.SIGKILL
    assert found["latency"].conditions["left_by_earlier_sessions"] == "1 folders, removed"
    assert not Path(first._connection.folder).exists()
    first._connection._held.close()
