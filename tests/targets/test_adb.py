"""The target adb: which device is taken; and all of it against a real adbd on loopback, which is no phone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from boards import SHORT, STRANGE, begin, build_runner, by_metric, measuring, subject, wait_until, write_device
from daemons import Phone, phone

from edgekd import device, targets
from edgekd.errors import EXIT_INTERRUPTED, EXIT_STAGE, EXIT_USAGE, BadInputError, StageError
from edgekd.profile import saved
from edgekd.targets import adb


def test_the_only_device_is_taken_and_a_chosen_one_of_several() -> None:
    assert adb.choose({"a": "device"}, None) == "a"
    assert adb.choose({"a": "device", "b": "device"}, "b") == "b"


@pytest.mark.parametrize(
    ("attached", "wanted", "message", "hint"),
    [
        ({}, None, "found the devices none, expected one, or a choice", "USB debugging"),
        ({"a": "device", "b": "offline"}, None, r"found the devices a \(device\), b \(offline\)", "serial = "),
        ({"a": "device"}, "c", r"found the devices a \(device\), expected 'c'", "adb devices"),
        ({"a": "unauthorized"}, None, "found a, which doesn't trust this machine", "unlock its screen"),
        ({"a": "no permissions (udev)"}, None, "found a, which this user can't open", "udev"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused(
    attached: dict[str, str], wanted: str | None, message: str, hint: str
) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        adb.choose(attached, wanted)
    assert hint in caught.value.hint


def test_a_device_that_is_offline_can_be_attached_anew() -> None:
    with pytest.raises(StageError, match="found a in the state 'offline'"):
        adb.choose({"a": "offline"}, "a")


def test_a_missing_adb_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInputError, match="found no program 'adb'") as caught:
        adb.prepare(write_device(tmp_path / "p.toml", target="adb"))
    assert caught.value.hint == "apt-get install adb"


@pytest.fixture(scope="module")
def attached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    with phone(tmp_path_factory.mktemp("phone")) as one:
        yield one


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_runner(tmp_path_factory.mktemp("built") / "runner")


@pytest.fixture
def there(tmp_path: Path, attached: Phone, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in attached.environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "there it's $(touch pwned)"
    folder.mkdir()
    return folder


def described(there: Path, runner: Path, **reach: object) -> device.Device:
    given = {"target": "adb", "folder": str(there), "runner": str(runner), "python": "no-python"}
    return write_device(there.parent / "phone.toml", **{**given, **reach})


@pytest.mark.system
def test_a_phone_is_measured_and_keeps_nothing(there: Path, runner: Path, tmp_path: Path, attached: Phone) -> None:
    with targets.measuring(described(there, runner)) as session:
        found = by_metric(session.measure(subject(tmp_path, f"{''.join(STRANGE)}.onnx"), SHORT))
        assert list(there.iterdir())
        assert "model: A recorded phone" in session.identity
    assert list(there.iterdir()) == []
    assert not list(Path().rglob("pwned"))
    latency = found["latency"]
    assert len(latency.values) >= SHORT.min_runs
    wanted = {
        "serial": attached.serial,
        "battery_percent": "87",
        "battery_celsius": "31.4",
        "charging": "yes",
        "battery_powered": "USB",
        "thermal_status": "1",
        "airplane_mode": "unknown",
        "screen": "Asleep",
        "runner": "edgekd's runner",
    }
    assert {name: latency.conditions[name] for name in wanted} == wanted
    assert "off the charger (charging: yes)" in found["energy"].unavailable


@pytest.mark.system
def test_of_two_phones_one_must_be_chosen(there: Path, runner: Path, attached: Phone, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with phone(other, attached.environment) as second:
        with pytest.raises(BadInputError, match=r"expected one, or a choice"):
            targets.measuring(described(there, runner))
        with targets.measuring(described(there, runner, serial=second.serial)) as session:
            assert f"serial: {second.serial}" in session.identity


@pytest.mark.system
def test_nothing_stays_after_ctrl_c(there: Path, runner: Path, tmp_path: Path) -> None:
    with begin(subject(tmp_path).path, described(there, runner)) as process:
        wait_until(lambda: measuring(there))
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        wait_until(lambda: not list(there.iterdir()))
    assert process.returncode == EXIT_INTERRUPTED


@pytest.mark.system
def test_a_phone_that_goes_away_ends_with_3_and_the_samples_are_kept(
    there: Path, runner: Path, tmp_path: Path, attached: Phone
) -> None:
    with begin(subject(tmp_path).path, described(there, runner)) as process:
        wait_until(lambda: measuring(there))
        time.sleep(4)
        attached.kill()
        _, errors = process.communicate(timeout=90)
        wait_until(lambda: not list(there.iterdir()))
    attached.start()
    assert process.returncode == EXIT_STAGE, errors
    assert "the connection was lost" in errors
    (kept,) = saved.load(tmp_path / "m.incomplete.npz")
    assert len(kept.values) > 100


@pytest.mark.system
def test_a_phone_that_is_not_there_is_refused(there: Path, runner: Path, tmp_path: Path) -> None:
    with begin(subject(tmp_path).path, described(there, runner, serial="nobody:1")) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_USAGE
    assert "expected 'nobody:1'" in errors
