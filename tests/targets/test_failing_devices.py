"""What goes wrong on a device, over a real ssh and a real adb: it ends with the reason, and nothing is left there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boards import SHORT, begin, by_metric, measuring, subject, wait_until, way_by, write_device

from edgekd import device, targets
from edgekd.errors import BadInputError, StageError
from edgekd.targets import remote

pytestmark = pytest.mark.system
Reached = Callable[..., device.Device]


@pytest.fixture(scope="module", params=["ssh", "adb"])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """The keys of [reach] by which a daemon of our own is reached."""
    with way_by(request.param, tmp_path_factory.mktemp(request.param)) as keys:
        yield keys


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there it's"
    folder.mkdir()
    return folder


@pytest.fixture
def reached(way: dict[str, object], there: Path, tmp_path: Path) -> Reached:
    def described(**more: object) -> device.Device:
        keys = {**way, "folder": str(there), "python": sys.executable, **more}
        return write_device(tmp_path / "device.toml", **keys)

    return described


def test_a_runner_that_hangs_is_ended(
    reached: Reached, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SAMPLES_S", 0.5)
    monkeypatch.setattr(remote.PythonRunner, "_by", lambda *_: "sleep 612")
    refused = pytest.raises(StageError, match="the runner gave no sample for")
    with refused, targets.measuring(reached()) as session:
        session.measure(subject(tmp_path), SHORT)
    wait_until(lambda: not list(there.iterdir()))
    assert subprocess.run(["pgrep", "-f", "^sleep 612$"], capture_output=True, check=False).returncode == 1


def test_a_device_without_room_is_refused_before_anything_is_copied(
    reached: Reached, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ROOM", 1e12)
    refused = pytest.raises(StageError, match=r"found \d+ MB free in .*, expected \d+ MB")
    with refused, targets.measuring(reached()) as session:
        session.measure(subject(tmp_path), SHORT)
    wait_until(lambda: not list(there.iterdir()))


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can only be mounted by root")
def test_a_device_that_gets_full_while_files_are_copied_ends_with_the_reason(
    reached: Reached, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ROOM", 0.0)  # as if it had got full since
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", there], check=True)
    try:
        refused = pytest.raises(StageError, match=r"could not be copied to .*: (.|\n)*No space left on device")
        with refused, targets.measuring(reached()) as session:
            session.measure(subject(tmp_path), SHORT)
        wait_until(lambda: not list(there.iterdir()))
    finally:
        subprocess.run(["umount", there], check=True)


def test_a_runner_for_another_architecture_is_refused(reached: Reached, there: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runner"
    folder.mkdir()
    mips = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (8).to_bytes(2, "little")
    (folder / "runner").write_bytes(mips)
    (folder / "libonnxruntime.so").touch()
    refused = pytest.raises(BadInputError, match="a runner for machine 8, expected one for the device's x86_64")
    one = reached(python="no-python", runner=str(folder))
    with refused, targets.measuring(one) as session:
        session.measure(subject(tmp_path), SHORT)
    wait_until(lambda: not list(there.iterdir()))


def test_what_a_killed_guard_left_is_removed_by_the_next_session(reached: Reached, there: Path, tmp_path: Path) -> None:
    """As when the device itself ends it, for want of memory: then nothing there can clean up at once."""
    with begin(subject(tmp_path).path, reached()) as process:
        wait_until(lambda: measuring(there))
        (folder,) = there.iterdir()
        os.kill(int((folder / "guard").read_text().split()[0]), signal.SIGKILL)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    (there / "edgekd.notours").mkdir()
    assert folder.is_dir()
    with targets.measuring(reached()) as session:
        found = by_metric(session.measure(subject(tmp_path), SHORT))
    assert found["latency"].conditions["left_by_earlier_sessions"] == "1 folders, removed"
    assert [path.name for path in there.iterdir()] == ["edgekd.notours"]
