"""Where stderr is a terminal there is a bar and colour; elsewhere plain lines; with -q nothing."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from edgekd.progress import Lines, Quiet, line, reporter

SCRIPT = """
from edgekd.progress import reporter
told = reporter(quiet=False)
told.started("distill")
told.progressed(3, 4, "epoch 1/2 loss 0.500")
told.finished("distill", 1.25, "accuracy [90 %]", cached=False)
told.started("prune")
told.progressed(1, 4, "loss [/x]")
told.closed()
"""


def on_a_terminal(**environment: str) -> str:
    """What the script writes to a terminal as its stderr."""
    reading, writing = pty.openpty()
    wanted: Mapping[str, str] = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=writing, env=wanted) as process:
        os.close(writing)
        parts = []
        try:
            while part := os.read(reading, 4096):
                parts.append(part)
        except OSError:  # how Linux says that the other end was closed
            pass
        assert process.wait() == 0
    os.close(reading)
    return b"".join(parts).decode()


def test_a_terminal_gets_a_bar_with_what_the_step_says() -> None:
    text = on_a_terminal()
    assert "\x1b[" in text
    assert re.search(r"\x1b\[[0-9;]+m", text)
    assert "━" in text
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).count("distill                 1.2 s  accuracy [90 %]") == 1


def test_no_color_is_respected() -> None:
    text = on_a_terminal(NO_COLOR="1")
    assert "distill                 1.2 s  accuracy [90 %]" in text
    assert not re.search(r"\x1b\[(3[0-7]|38|4[0-7]|9[0-7])[0-9;]*m", text)


def test_elsewhere_each_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    told = reporter(quiet=False)
    assert isinstance(told, Lines)
    told.started("distill")
    told.progressed(1, 2, "half")
    told.finished("distill", 12.34, "90 %", cached=False)
    told.finished("prune", 0.0, "", cached=True)
    told.closed()
    assert capsys.readouterr() == ("", "distill                12.3 s  90 %\nprune                  cached\n")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    told = reporter(quiet=True)
    assert isinstance(told, Quiet)
    told.started("distill")
    told.progressed(1, 2, "half")
    told.finished("distill", 1.0, "90 %", cached=False)
    told.closed()
    assert capsys.readouterr() == ("", "")


def test_a_line_has_no_trailing_space() -> None:
    assert line("prune", 1.0, "", cached=False) == "prune                   1.0 s"
