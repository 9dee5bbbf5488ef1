"""What goes wrong on a device, over a real ssh and a real adb: it ends with the reason, and nothing is left there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from boards import (
    SHORT,
    begin,
    beside_its_weights,
    build_runner,
    by_metric,
    install,
    measuring,
    subject,
    wait_until,
    way_by,
    write_device,
)

from edgekd import device, targets
from edgekd.errors import BadInputError, StageError
from edgekd.profile.rules import Plan
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


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can only be mounted by root")
@pytest.mark.parametrize("kind", ["Python", "edgekd's runner"])
def test_a_device_that_gets_full_while_samples_are_taken_ends_with_the_reason_and_keeps_them(
    kind: str, reached: Reached, there: Path, tmp_path: Path, built: Path
) -> None:
    """Samples are never on the device; what a runner says at its end is, and has no room any more."""
    keys = {} if kind == "Python" else {"python": "no-python", "runner": str(built)}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", there], check=True)
    try:
        with targets.measuring(reached(**keys)) as session, ThreadPoolExecutor(1) as pool:
            measured = pool.submit(session.measure, subject(tmp_path), Plan(min_runs=20, min_seconds=8))
            wait_until(lambda: measuring(there))
            time.sleep(2)
            fill(there / "other people's data")
            with pytest.raises(targets.IncompleteError, match=r"No space left|disk may be full") as caught:
                measured.result(120)
        assert "make room there, or name another folder" in caught.value.hint
        (kept,) = caught.value.measured
        assert sum(kept.values) > 1
        wait_until(lambda: [path.name for path in there.iterdir()] == ["other people's data"])
    finally:
        subprocess.run(["umount", there], check=True)


def fill(path: Path) -> None:
    """To the last byte of the file system."""
    for block in (2**20, 2**12):
        with suppress(OSError), path.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(block))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_runner(tmp_path_factory.mktemp("built") / "runner")


def test_a_clock_that_jumps_changes_no_figure(reached: Reached, tmp_path: Path) -> None:
    """The device's clock goes an hour forth and back at each look: what is timed goes by another, that can't be set."""
    library = tmp_path / "jumping.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=JUMPING, text=True, check=True)
    jumping = install(tmp_path / "python", f'LD_PRELOAD={library} exec {sys.executable} "$@"')
    said = subprocess.run(
        [jumping, "-c", "import time; print(time.time() - time.time())"], capture_output=True, check=True
    )
    assert abs(float(said.stdout)) > 3000
    with targets.measuring(reached(python=str(jumping))) as session:
        found = by_metric(session.measure(subject(tmp_path), Plan(min_runs=20, min_seconds=1)))
    assert all(0 < value < 10 for value in (*found["latency"].values, *found["latency"].warmups))
    assert 0.5 < sum(found["latency"].values) < 60
    assert all(0 < found[name].values[0] < 60 for name in ("load_time", "first_inference", "cold_start"))


JUMPING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static long jump(void) { static long turn; return ++turn % 2 ? 3600 : -3600; }
int clock_gettime(clockid_t clock, struct timespec *at) {
  int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(clock, at);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) at->tv_sec += jump();
  return code;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  int code = clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec, at->tv_usec = now.tv_nsec / 1000;
  return code;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


def test_two_sessions_at_once_leave_each_other_alone_and_say_so(reached: Reached, there: Path, tmp_path: Path) -> None:
    plan = Plan(min_runs=20, min_seconds=2)
    (tmp_path / "second").mkdir()
    subjects = subject(tmp_path), subject(tmp_path / "second")
    with targets.measuring(reached()) as first, targets.measuring(reached()) as second, ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda one, what: one.measure(what, plan), (first, second), subjects))
        assert len(list(there.iterdir())) == 2
        second.close()
        alone = by_metric(first.measure(subjects[0], SHORT))["latency"]
        assert len(list(there.iterdir())) == 1
    for found in both:
        latency = by_metric(found)["latency"]
        assert len(latency.values) >= 20
        assert latency.conditions["other_sessions"] == "1"
        assert "left_by_earlier_sessions" not in latency.conditions
    assert alone.conditions["other_sessions"] == "0"
    assert list(there.iterdir()) == []


def test_a_model_and_its_weights_may_have_any_name(reached: Reached, there: Path, tmp_path: Path) -> None:
    strange = "it's $(touch pwned)`touch pwned`\n &*"
    with targets.measuring(reached()) as session:
        measured = beside_its_weights(tmp_path, f"{strange}.onnx", f"{strange}.data")
        assert by_metric(session.measure(measured, SHORT))["latency"].values
    assert list(there.iterdir()) == []
    assert not [*tmp_path.rglob("pwned"), *Path().glob("pwned"), *Path("~").expanduser().glob("pwned")]


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
