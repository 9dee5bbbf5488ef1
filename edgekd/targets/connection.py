"""Connection: commands on another machine, over ssh or adb, whose end is always known.

Each command is a script for ``sh`` on its standard input, so that no other shell ever reads it, and its last line tells
its exit code: adb answers 0 when the device went away, and ssh 255 for more than one reason. No such line means
that the connection was lost. Everything that comes from outside stands in scripts quoted by ``shlex``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from tempfile import TemporaryFile, gettempdir
from typing import IO

from edgekd.errors import BadInputError, StageError

ENDING = re.compile(rb"\nEDGEKD_RC=(\d+)\n\Z")
TELL = "printf '\\nEDGEKD_RC=%s\\n' \"$?\""
ANSWER_S = 60.0  # for a command that only looks something up
LEAST_FREE = 2**14  # bytes: less is full
CLOSE_S = 15.0  # for the guard to clean up
MADE, SWEPT, GONE = "EDGEKD_FOLDER=", "EDGEKD_SWEPT=", "EDGEKD_GONE"
# It ends when its input does: when the session is closed, when this program dies, or when the connection does.
# First it removes what earlier guards could not, because they were killed or the device lost its power: folders of
# ours (they hold who guards them) whose guard is gone. One of another container that shares the folder can't be seen
# from here, and is left alone. A process is only ended that still runs inside such a folder.
GUARD = """trap '' HUP INT TERM PIPE
umask 077
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)
ns=$(readlink /proc/self/ns/pid 2>/dev/null)
for f in {folder}/edgekd.??????; do
  [ -f "$f/guard" ] && [ ! -L "$f" ] || continue
  read -r guard since space <"$f/guard"
  [ "$since" = "$boot" ] && [ -n "$space" ] && [ "$space" != "$ns" ] && continue
  [ "$since" = "$boot" ] && [ -d "/proc/$guard" ] && continue
  for p in $(cat "$f/pids" 2>/dev/null); do
    [ "$(readlink "/proc/$p/cwd")" = "$(cd "$f" && pwd -P)" ] && kill -9 "$p"
  done
  rm -rf "$f"
  [ -e "$f" ] || printf '{swept}%s\\n' "$f"
done 2>/dev/null
d=$(mktemp -d {folder}/edgekd.XXXXXX) || exit 1
echo "$$ $boot $ns" >"$d/guard.new" && mv "$d/guard.new" "$d/guard"
printf '{made}%s\\n' "$d"
cat >/dev/null
for p in $(cat "$d/pids" 2>/dev/null); do kill -9 "$p" 2>/dev/null; done
rm -rf "$d"
printf '{gone}\\n'
"""


class LostError(StageError):
    """The device doesn't answer any more."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; its output is bytes, for samples are."""

    code: int
    output: bytes
    noise: str  # the end of stderr

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode(errors="replace")


class Connection(ABC):
    """A way to another machine, and a folder there that is gone when the connection is."""

    def __init__(self, name: str) -> None:
        self.name = name  # of the device, in messages
        self.folder = ""
        self.swept: tuple[str, ...] = ()  # folders that earlier sessions had left there
        self._guard: subprocess.Popen[bytes] | None = None
        self._held = ExitStack()  # the guard's pipes

    @abstractmethod
    def command(self) -> list[str]:
        """What runs ``sh`` there, with our input and output as its own."""

    def guarding(self) -> list[str]:
        """The same for the first command, which lasts as long as the connection."""
        return self.command()

    @abstractmethod
    def push(self, files: dict[str, Path]) -> None:
        """Copy files into the folder, under plain names."""

    def open(self, parent: str) -> None:
        """Make the folder, below ``parent``.

        Raises:
            StageError: nobody answers, or no folder can be made there.

        """
        script = GUARD.format(folder=quote(parent), made=MADE, swept=SWEPT, gone=GONE)
        pipe = subprocess.PIPE
        noise = self._held.enter_context(TemporaryFile())  # noqa: SIM115 (it is a context, held)
        guard = subprocess.Popen(self.guarding(), stdin=pipe, stdout=pipe, stderr=noise, start_new_session=True)
        self._guard = self._held.enter_context(guard)
        assert guard.stdin is not None  # noqa: S101 (mypy: pipes were asked for)
        assert guard.stdout is not None  # noqa: S101
        with suppress(BrokenPipeError):
            guard.stdin.write(script.encode())
            guard.stdin.flush()
        line = guard.stdout.readline().decode(errors="replace")
        while line.startswith(SWEPT):
            self.swept += (line.removeprefix(SWEPT).rstrip("\n"),)
            line = guard.stdout.readline().decode(errors="replace")
        if not line.startswith(MADE):
            self._guard = None
            stop(guard)
            noise.seek(0)
            reason = noise.read().decode(errors="replace").strip() or line.strip() or "no answer"
            with suppress(BrokenPipeError):  # its input may still hold what it never read
                self._held.close()
            self.ending()
            raise StageError(f"{self.name}: can't begin a session in {parent}: {reason}", self.advice(reason))
        self.folder = line.removeprefix(MADE).rstrip("\n")

    def advice(self, reason: str) -> str:
        """What to do where no session can be begun."""
        del reason
        return "check that the device is on, and that its folder can be written"

    def start(self, script: str, output: IO[bytes], noise: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a script whose last line of output tells how it ended."""
        process = subprocess.Popen(
            self.command(), stdin=subprocess.PIPE, stdout=output, stderr=noise, start_new_session=True
        )
        assert process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError), process.stdin as shell:
            shell.write(f"(\n{script}\n) </dev/null\n{TELL}\n".encode())
        return process

    def run(self, script: str, *, wait_s: float = ANSWER_S) -> Ended:
        """Run a script to its end.

        Raises:
            LostError: no answer in time, or none with an ending.

        """
        with TemporaryFile() as output, TemporaryFile() as noise:
            process = self.start(script, output, noise)
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                pass
            finally:
                stop(process)
            return self.ended(output, noise)

    def ended(self, output: IO[bytes], noise: IO[bytes]) -> Ended:
        """How a command ended that was started with these files."""
        for file in (output, noise):
            file.seek(0)
        written, said = output.read(), noise.read().decode(errors="replace")
        match = ENDING.search(written)
        if match is None:
            raise LostError(
                f"{self.name}: the connection was lost: {last_lines(said) or 'no answer'}", self.advice(said)
            )
        return Ended(int(match[1]), written[: match.start()], said)

    def close(self) -> None:
        """Have the folder removed, and wait for it."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        assert guard.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):
            guard.stdin.close()
        began = time.monotonic()
        while guard.poll() is None and time.monotonic() - began < CLOSE_S:
            time.sleep(0.02)
        told = guard.poll() is not None and guard.stdout is not None and GONE.encode() in guard.stdout.read()
        stop(guard)
        self._held.close()
        self.ending()
        if not told:
            raise LostError(
                f"{self.name}: could not see that {self.folder} was removed there",
                "it is removed as soon as the device notices that the connection is gone; after a reboot, remove it",
            )

    def ending(self) -> None:  # noqa: B027 (most have nothing there)
        """Take away what the connection has on this machine."""


def full_here() -> tuple[str, str] | None:
    """What to say, and to do, where this machine has no room for samples: it looks like a lost device too."""
    if shutil.disk_usage(gettempdir()).free >= LEAST_FREE:
        return None
    message = f"this machine has no room left in {gettempdir()}, where samples are kept while they are taken"
    return message, "make room there, or name another folder: TMPDIR=/path"


def stop(process: subprocess.Popen[bytes]) -> None:
    """End and reap a program."""
    if process.poll() is None:
        process.kill()
    process.wait()


def last_lines(text: str, count: int = 5) -> str:
    """The end of what a program said."""
    return "\n".join(text.strip().splitlines()[-count:])


def program(name: str, package: str) -> str:
    """The path of a program.

    Raises:
        BadInputError: it isn't installed.

    """
    found = shutil.which(name)
    if found is None:
        raise BadInputError(
            f"found no program {name!r} on the PATH, expected it to reach the device", f"apt-get install {package}"
        )
    return found


def words(arguments: Sequence[str]) -> str:
    """A command line in which each argument is exactly what it says."""
    return " ".join(quote(argument) for argument in arguments)
