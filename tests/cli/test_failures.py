"""Exit 3, a stage failed; and 70, a bug in edgekd."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import ONNX_ONLY, Workshop

from edgekd import __version__, cli
from edgekd.errors import BadInputError, StageError

BUILD = ("build", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out")
FULL = "hint: free some space and build again; finished steps are kept"
EXPLODING = """\
import tinynet


class Net(tinynet.Net):
    def forward(self, images):
        return super().forward(images) / 0


def student():
    return Net((8, 16), 3, stride=2)
"""


def test_a_loss_that_is_no_number_exits_with_3_and_keeps_what_was_done(workshop: Workshop) -> None:
    (workshop.folder / "exploding.py").write_text(EXPLODING)
    workshop.pipeline("tiny", ONNX_ONLY.replace("tinynet:student", "exploding:student"))
    ran = workshop.run(*BUILD)
    assert (ran.code, ran.out) == (3, "")
    *steps, error, hint = ran.err.splitlines()
    assert [line.split()[0] for line in steps] == ["teacher", "teacher_outputs", "student_start"]
    assert error == "error: the loss is nan in step 1 of 210 (epoch 1)"
    assert hint.startswith("hint: lower learning_rate")
    assert not (workshop.folder / "out" / "tiny").exists()
    assert not list((workshop.folder / "out" / ".store").glob("scratch-*"))
    workshop.pipeline("tiny", ONNX_ONLY.replace("tinynet:student", "exploding:student"))
    again = workshop.run(*BUILD)
    assert again.code == 3
    assert [line.split()[1] for line in again.err.splitlines()[:3]] == ["cached"] * 3


def small_disk(place: Path, size: str) -> list[str]:
    """The start of a command that runs with a disk of ``size`` mounted at ``place``, in a namespace of its own."""
    spaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    script = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
    return ["unshare", *spaces, "sh", "-c", script, str(place)]


def can_mount(place: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*small_disk(place, "64k"), "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("size", ["32k", "220k"])
def test_a_full_disk_exits_with_3(size: str, workshop: Workshop) -> None:
    """One disk is full with the first weights, the other when there are checkpoints and outputs to write."""
    place = workshop.folder / "out"
    place.mkdir()
    if not can_mount(place):
        pytest.skip("may not mount a small disk here; tests/test_store.py has made-up ones")
    workshop.pipeline("tiny", ONNX_ONLY)
    ran = subprocess.run(
        [*small_disk(place, size), sys.executable, "-m", "edgekd", *BUILD],
        cwd=workshop.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.splitlines()[-2:] == [
        "error: out/.store: the disk is full",
        FULL,
    ]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run 'edgekd stages list' in this process, with an error inside."""

    def run(error: BaseException) -> int:
        def fails(*_: object) -> None:
            raise error

        monkeypatch.setattr("edgekd.cli.main.invoke", fails)
        return cli.run(["stages", "it's a list"])

    return run


def test_a_bug_exits_with_70_and_writes_a_log_ready_to_paste(
    command: Callable[[BaseException], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert command(ZeroDivisionError("by nought")) == 70
    (log,) = tmp_path.glob("edgekd-*.log")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"error: a bug in edgekd: ZeroDivisionError: by nought\nhint: please report it with this log: {log}\n"
    )
    text = log.read_text()
    assert text.startswith(f"edgekd {__version__}, Python {sys.version.split()[0]}, ")
    assert "$ edgekd stages 'it'\"'\"'s a list'\n" in text
    assert "ZeroDivisionError: by nought" in text
    assert "in fails" in text
    assert "\npydantic " in text


def test_without_a_place_for_the_log_it_is_printed(
    command: Callable[[BaseException], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert command(ZeroDivisionError("by nought")) == 70
    error = capsys.readouterr().err
    assert error.startswith(f"edgekd {__version__}, ")
    assert error.endswith("hint: please report it with this log: above\n")


def test_a_tool_that_breaks_exits_with_3_and_a_log(
    command: Callable[[BaseException], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    error = StageError("it broke")
    error.__cause__ = RuntimeError("inside the tool")
    assert command(error) == 3
    (log,) = tmp_path.glob("edgekd-*.log")
    assert capsys.readouterr().err == f"error: it broke\nlog: {log}\n"
    assert "inside the tool" in log.read_text()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StageError("it broke", "mend it"), 3, "error: it broke\nhint: mend it\n"),
        (BadInputError("no"), 2, "error: no\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted: finished steps are kept, the next build goes on from there\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/report.json"),
            3,
            f"error: the disk is full: out/report.json\n{FULL}\n",
        ),
    ],
)
def test_each_way_to_fail_has_its_exit_code(
    error: BaseException,
    code: int,
    said: str,
    command: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(error) == code
    assert capsys.readouterr() == ("", said)
