"""What a build says while it runs: to stderr, one line a step, and a bar only on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID


class Reporter(Protocol):
    """Told what happens; decides how it looks."""

    def started(self, step: str) -> None:
        """A step began."""

    def progressed(self, done: int, total: int, text: str) -> None:
        """The running step has done so much."""

    def finished(self, step: str, seconds: float, summary: str, *, cached: bool) -> None:
        """A step ended well."""

    def closed(self) -> None:
        """Nothing more will be told, whether all went well or not."""


class Quiet:
    """Says nothing."""

    def started(self, step: str) -> None:
        """Ignore."""

    def progressed(self, done: int, total: int, text: str) -> None:
        """Ignore."""

    def finished(self, step: str, seconds: float, summary: str, *, cached: bool) -> None:
        """Ignore."""

    def closed(self) -> None:
        """Ignore."""


class Lines:
    """One plain line a finished step: for logs and pipes."""

    def started(self, step: str) -> None:
        """Ignore: the line comes when the step is done."""

    def progressed(self, done: int, total: int, text: str) -> None:
        """Ignore."""

    def finished(self, step: str, seconds: float, summary: str, *, cached: bool) -> None:
        """Print the step's line."""
        sys.stderr.write(line(step, seconds, summary, cached=cached) + "\n")

    def closed(self) -> None:
        """Ignore."""


class Live:
    """The same lines, and below them a bar with what the running step says of itself."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False)
        name, text = (TextColumn(shown, markup=False) for shown in ("{task.description:<16}", "{task.fields[text]}"))
        columns = (name, BarColumn(24), text)
        self._progress = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        self._task: TaskID | None = None
        self._progress.start()

    def started(self, step: str) -> None:
        """Show an empty bar."""
        self._task = self._progress.add_task(step, total=None, text="")

    def progressed(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, text=text)

    def finished(self, step: str, seconds: float, summary: str, *, cached: bool) -> None:
        """Replace the bar by the step's line."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._console.print(line(step, seconds, summary, cached=cached), markup=False)

    def closed(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def line(step: str, seconds: float, summary: str, *, cached: bool) -> str:
    """The line of a finished step."""
    took = "cached" if cached else f"{seconds:.1f} s"
    return f"{step:<20} {took:>8}  {summary}".rstrip()


def reporter(*, quiet: bool) -> Reporter:
    """The reporter that suits where stderr goes."""
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Lines()
