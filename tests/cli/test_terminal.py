"""What a build shows: live on a terminal, plain in a pipe, whatever the locale and wherever the output lies."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from terminals import HIDE, SHOW, on_a_terminal
from workshop import PIPELINE, Built

BUILD = [sys.executable, "-m", "edgekd", "build", "tiny.toml", "--device", "pixel8", "--quick", "-o"]


def without(built: Built, output: Path, stage: str) -> Path:
    """The output folder of the first build, but for what one stage made."""
    shutil.copytree(built.output, output, symlinks=True)
    made = [path for path in output.glob(".store/*/manifest.json") if stage in json.loads(path.read_text())["made_by"]]
    assert made
    for path in made:
        shutil.rmtree(path.parent)
    return output


def test_a_terminal_sees_steps_progress_quality_and_the_time_left(built: Built, tmp_path: Path) -> None:
    output = without(built, tmp_path / "out", "prune ")
    told = on_a_terminal([*BUILD, str(output)], built.workshop.folder, 80)
    assert told.code == built.ran.code, told.text
    passing = [text for text in told.lines if text.startswith("student_float ") and "epoch" in text]
    assert any("loss" in text for text in passing), "batches of the running step, from within it"
    assert any(text.startswith("step 5 of 34, about ") and text.endswith(" left") for text in told.lines)
    assert max(map(len, passing)) <= 80
    assert told.raw.count(HIDE) == told.raw.count(SHOW) == 1
    assert told.same
    assert "checks against the budget of pixel8" in told.lines
    assert any("onnx_int8" in text for text in told.lines[told.lines.index("checks against the budget of pixel8") :])


def test_ctrl_c_leaves_the_terminal_as_it_was(built: Built, tmp_path: Path) -> None:
    output = without(built, tmp_path / "out", "distill ")
    told = on_a_terminal(
        [*BUILD, str(output)], built.workshop.folder, 20, interrupt_at="student_unpruned", NO_COLOR="1"
    )
    assert told.code == 130, told.text
    assert "interrupted: finished steps are kept" in told.text
    assert told.raw.rindex(SHOW) > told.raw.rindex(HIDE)
    assert told.same
    assert not told.coloured


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests' own and that of scratch files."""
    with TemporaryDirectory(dir="/dev/shm", prefix="edgekd-test-") as folder:
        assert Path(folder).stat().st_dev != tmp_path.stat().st_dev
        yield Path(folder)


def test_a_pipe_in_a_locale_without_utf_8_and_an_output_folder_on_another_file_system(
    built: Built, elsewhere: Path
) -> None:
    output = without(built, elsewhere / "out", "golden ")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*BUILD, str(output), "--verbose"],
        cwd=built.workshop.folder,
        env=os.environ | plain,
        capture_output=True,
        check=False,
    )
    assert done.returncode == built.ran.code, done.stderr
    out, err = done.stdout.decode("ascii"), done.stderr.decode("ascii")
    assert not [sign for sign in out + err if sign < " " and sign != "\n"], "no control characters"
    assert " us " in out
    run = Path(out.splitlines()[-1]).parent
    assert run.is_relative_to(output)
    assert {path.name for path in run.iterdir()} >= {"model.onnx", "report.json", "bundle.zip", "report.html"}
    assert re.findall(r"^(\S.*?) +\d+\.\d s  ", err, re.MULTILINE) == ["golden"], "all else is cached, with no time"
    keys = dict(re.findall(r"^    key (\w{32}), sha256 (\w{64})$", err, re.MULTILINE))
    assert len(keys) == len(built.report["steps"])
    for key, digest in keys.items():
        assert json.loads((output / ".store" / key / "manifest.json").read_text())["sha256"] == digest
    assert "    with torch==" in err


GREEN, ESCAPE = "\x1b[32m", "\x1b"


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
def test_a_pipe_has_colours_where_they_are_forced(built: Built, variables: dict[str, str], *, coloured: bool) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "edgekd", "check", str(built.run_folder)],
        cwd=built.workshop.folder,
        env={**kept, "TERM": "xterm", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == built.ran.code, done.stderr
    assert "size <= 2.00 MB" in done.stdout
    assert (f"{GREEN}pass" in done.stdout) == coloured
    assert (ESCAPE in done.stdout) == coloured
    assert ESCAPE not in done.stderr


def test_a_build_has_them_too_and_a_terminal_needs_no_word(built: Built) -> None:
    again = ("build", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out")
    forced = built.workshop.run_afresh(*again, FORCE_COLOR="1", NO_COLOR="")
    assert f"{GREEN}pass" in forced.out
    assert ESCAPE not in forced.err, "progress is plain where stderr is no terminal"
    words = [sys.executable, "-m", "edgekd", "check", str(built.run_folder)]
    assert on_a_terminal(words, built.workshop.folder, 100, FORCE_COLOR="").coloured
    assert not on_a_terminal(words, built.workshop.folder, 100, NO_COLOR="1", FORCE_COLOR="1").coloured


BREAKING = """\
import torch

class Breaking(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, pixels):
        if self.training:
            raise RuntimeError("no such width")
        return self.layer(pixels.mean((2, 3)))

def student():
    return Breaking()
"""


def test_verbose_shows_the_traceback_of_a_tool_that_failed(built: Built) -> None:
    folder = built.workshop.folder
    (folder / "breaking.py").write_text(BREAKING)
    (folder / "breaking.toml").write_text(PIPELINE.replace("tinynet:student", "breaking:student"))
    ran = built.workshop.run("build", "breaking.toml", "--device", "pixel8", "--quick", "-o", "out", "--verbose")
    assert ran.code == 3, ran.err
    assert "error: the step 'student_unpruned' failed in a tool that it needs: RuntimeError: no such width" in ran.err
    assert re.search(r'Traceback \(most recent call last\).*breaking\.py", line 10, in forward', ran.err, re.DOTALL)


def test_quiet_and_verbose_exclude_each_other(built: Built) -> None:
    ran = built.again("--quiet", "--verbose")
    assert (ran.code, "found both --quiet and --verbose" in ran.err) == (2, True)
