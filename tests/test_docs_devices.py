"""docs/devices.md: its device files load, its commands have options that exist, its tables name every key."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from edgekd import device, targets
from edgekd.cli import run
from edgekd.reach import Reach

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FILES = {re.match(r"# (\S+)\n", body)[1]: body for language, body in BLOCKS if language == "toml"}  # type: ignore[index]
COMMANDS = [line[2:] for language, body in BLOCKS if language == "console" for line in body.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, body in FILES.items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    (tmp_path / "model.onnx").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_a_device_file_is_like_another_and_can_be_reached(name: str, folder: Path) -> None:
    one = device.load(str(folder / name))
    assert targets.name_of(one) in ("adb", "ssh")
    assert one.facts.clusters is not None
    other = "pixel8" if "phone" in name else "raspberrypi5"
    assert one.limits == device.load(other).limits
    assert {Path(limit.origin.rpartition(":")[0]).stem for limit in one.limits} == {other}


def test_a_device_is_shown_with_how_it_is_reached(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "show", str(folder / "my-board.toml")]) == 0
    assert "  reach             target ssh, host board.local, user pi\n" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_has_options_that_exist(line: str) -> None:
    program, name, *words = shlex.split(line)
    assert program == "edgekd"
    command = import_module(f"edgekd.cli.{name}").command
    if name == "devices":
        command, name, words = command.commands[words[0]], words[0], words[1:]
    given = command.make_context(name, words).params  # click refuses unknown options and values
    if name == "new":
        assert given["way"] in ("adb", "ssh", "host")
        return
    for chosen in given.get("devices") or (given["device"],):
        assert device.load(chosen).reach is not None


def test_every_key_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == set(Reach.model_fields)


def test_every_make_target_that_is_named_exists() -> None:
    named = set(re.findall(r"`make ([\w-]+)`", TEXT))
    assert named <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
