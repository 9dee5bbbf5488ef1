"""Where stderr is a terminal there is a live view and colour; elsewhere plain lines; with -q nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from terminals import HIDE, SHOW, Shown, on_a_terminal

from edgekd.artifact import Artifact, Kind
from edgekd.executor import StepTaken
from edgekd.progress import Lines, Quiet, line, reporter

SCRIPT = """
import time
from pathlib import Path
from edgekd.ahead import Ahead
from edgekd.artifact import Artifact, Kind
from edgekd.executor import StepTaken
from edgekd.progress import reporter
def taken(name, **facts):
    file = {"key": "k", "kind": Kind.TORCH, "path": Path("f"), "sha256": "s", "size_bytes": 1}
    made = Artifact(**file, made_by="m", inputs=(), facts=facts)
    return StepTaken(name, False, 1.25, made)
told = reporter(ahead=Ahead({"distill": 3.0, "evaluate teacher": 2.0, "prune": None}))
told.started("distill")
told.progressed(3, 4, "epoch 1/2 loss 0.500 [b]")
told.finished(taken("distill", summary="accuracy [90 %]"))
told.started("evaluate teacher")
told.finished(taken("evaluate teacher", quality=0.9425))
told.started("prune")
told.progressed(1, 4, "loss [/x]")
time.sleep(0.6)  # the view is drawn four times a second
told.closed()
"""


def shown(columns: int = 100, **environment: str) -> Shown:
    return on_a_terminal([sys.executable, "-c", SCRIPT], Path.cwd(), columns, **environment)


def step(name: str, seconds: float, summary: str, *, cached: bool = False) -> StepTaken:
    made = Artifact(
        key="0123abc",
        kind=Kind.TORCH,
        path=Path("student.safetensors"),
        sha256="5ad0",
        size_bytes=356_000,
        made_by="distill 3",
        inputs=(),
        facts={"summary": summary},
    )
    return StepTaken(name, cached, seconds, made, ("torch==2.13.0",))


def test_a_terminal_sees_the_running_step_the_quality_and_the_time_left() -> None:
    told = shown()
    assert told.code == 0
    assert told.coloured
    assert "━" in told.text
    assert told.lines.count("distill                 1.2 s  accuracy [90 %]") == 1
    assert any(text.startswith("prune ") and text.endswith("loss [/x]") for text in told.lines)
    assert "step 3 of 3, 1 step of unknown length" in told.lines
    assert "quality so far: teacher 94.2%" in told.lines
    assert told.raw.count(HIDE) == told.raw.count(SHOW) == 1, "the cursor is given back"
    assert told.same


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_the_view_fits_the_terminal(columns: int) -> None:
    passing = [text for text in shown(columns).lines if not text.startswith(("distill  ", "evaluate teacher  "))]
    assert max(map(len, passing)) <= columns
    assert any(text.startswith("step 3 of 3") for text in passing)


def test_no_color_is_respected() -> None:
    told = shown(NO_COLOR="1")
    assert "distill                 1.2 s  accuracy [90 %]" in told.lines
    assert not told.coloured


def test_a_terminal_that_can_nothing_gets_plain_lines() -> None:
    told = shown(TERM="dumb")
    assert "\x1b" not in told.raw
    assert told.lines[:2] == ["distill                 1.2 s  accuracy [90 %]", "evaluate teacher        1.2 s"]


def test_elsewhere_each_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    told = reporter()
    assert isinstance(told, Lines)
    told.started("distill")
    told.progressed(1, 2, "half")
    told.finished(step("distill", 12.34, "90 %"))
    told.finished(step("prune", 0.0, "", cached=True))
    told.closed()
    assert capsys.readouterr() == ("", "distill                12.3 s  90 %\nprune                  cached\n")


def test_verbose_adds_what_was_made_under_which_key_and_with_which_versions(capsys: pytest.CaptureFixture[str]) -> None:
    reporter(verbose=True).finished(step("distill", 12.34, "90 %"))
    assert capsys.readouterr().err.splitlines() == [
        "distill                12.3 s  90 %",
        "    student.safetensors, 356 kB, torch, made by distill 3, 12.340 s",
        "    key 0123abc, sha256 5ad0",
        "    with torch==2.13.0",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    told = reporter(quiet=True)
    assert isinstance(told, Quiet)
    told.started("distill")
    told.progressed(1, 2, "half")
    told.finished(step("distill", 1.0, "90 %"))
    told.closed()
    assert capsys.readouterr() == ("", "")


def test_a_line_has_no_trailing_space() -> None:
    assert line("prune", 1.0, "", cached=False) == "prune                   1.0 s"
