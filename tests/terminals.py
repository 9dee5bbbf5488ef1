"""A command on a real terminal (a pty) of a given size, and what that shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

# The pty is the command's controlling terminal, so that Ctrl-C reaches it. Not by a preexec_fn, which would fork a
# pytest in which other tests have started threads.
OWN_TERMINAL = """
import fcntl, os, signal, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Shown:
    """How a command ended, all that it wrote, and whether the terminal is as it was."""

    code: int
    raw: str
    same: bool

    @property
    def text(self) -> str:
        """Without what moves the cursor or colours."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """Every line that ever stood there, the passing ones too."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", self.text)]

    @property
    def coloured(self) -> bool:
        return bool(re.search(r"\x1b\[([0-9]+;)*(3[0-7]|38|9[0-7])[0-9;]*m", self.raw))


def on_a_terminal(
    words: Sequence[str], folder: Path, columns: int, interrupt_at: str = "", **environment: str
) -> Shown:
    """Run ``words`` with both streams on a terminal; press Ctrl-C there when it shows ``interrupt_at``."""
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    before = termios.tcgetattr(writing)
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    wanted = {**kept, "TERM": "xterm", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, *words],
        stdin=writing,
        stdout=writing,
        stderr=writing,
        cwd=folder,
        env=wanted,
    )
    raw = b""
    pressed = False
    while process.poll() is None or _waiting(reading):
        if _waiting(reading):
            raw += os.read(reading, 65536)
        if interrupt_at and not pressed and interrupt_at.encode() in raw:
            os.write(reading, b"\x03")  # the terminal makes SIGINT of it, as for a person
            pressed = True
    after = termios.tcgetattr(writing)
    for end in (reading, writing):
        os.close(end)
    return Shown(process.returncode, raw.decode(), before == after)


def _waiting(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0.05)[0])
