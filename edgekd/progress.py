"""What a build says while it runs: to stderr, one line a step, and a live view only on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from edgekd import units
from edgekd.ahead import Ahead

if TYPE_CHECKING:
    from edgekd.executor import StepTaken


class Reporter(Protocol):
    """Told what happens; decides how it looks."""

    def started(self, step: str) -> None:
        """A step began."""

    def progressed(self, done: int, total: int, text: str) -> None:
        """The running step has done so much."""

    def finished(self, taken: StepTaken) -> None:
        """A step ended well."""

    def closed(self) -> None:
        """Nothing more will be told, whether all went well or not."""


class Quiet:
    """Says nothing."""

    def started(self, step: str) -> None:
        """Ignore."""

    def progressed(self, done: int, total: int, text: str) -> None:
        """Ignore."""

    def finished(self, taken: StepTaken) -> None:
        """Ignore."""

    def closed(self) -> None:
        """Ignore."""


class Lines:
    """Plain lines for each finished step: for logs and pipes."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose

    def started(self, step: str) -> None:
        """Ignore: the line comes when the step is done."""

    def progressed(self, done: int, total: int, text: str) -> None:
        """Ignore."""

    def finished(self, taken: StepTaken) -> None:
        """Print the step's lines."""
        sys.stderr.writelines(f"{text}\n" for text in lines(taken, verbose=self._verbose))
        sys.stderr.flush()

    def closed(self) -> None:
        """Ignore."""


class Live:
    """The same lines, and below them a bar of the running step, the quality so far and the time left."""

    def __init__(self, ahead: Ahead, *, verbose: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live as View

        self._ahead, self._verbose = ahead, verbose
        self._console = Console(stderr=True, highlight=False)
        self._step, self._text = "", ""
        self._quality: dict[str, float] = {}
        self._view = View(console=self._console, get_renderable=self._shown, transient=True, refresh_per_second=4)

    def started(self, step: str) -> None:
        """Show an empty bar; the first step begins the view, so that nothing is left on when planning fails."""
        self._ahead.started(step)
        self._step, self._text = step, ""
        self._view.start()

    def progressed(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        self._ahead.progressed(done, total)
        self._text = text

    def finished(self, taken: StepTaken) -> None:
        """Add the step's lines above the view."""
        self._ahead.finished(taken.name)
        self._step, self._text = "", ""
        kind, _, model = taken.name.partition(" ")
        if kind == "evaluate" and "quality" in taken.artifact.facts:
            self._quality[model] = taken.artifact.facts["quality"]
        for text in lines(taken, verbose=self._verbose):
            self._console.print(text, markup=False, soft_wrap=True)

    def closed(self) -> None:
        """Take the view away, and give the cursor back."""
        self._view.stop()

    def _shown(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Column, Table
        from rich.text import Text

        share = self._ahead.share
        bar = ProgressBar(total=None if share is None else 1.0, completed=share or 0.0, width=20)
        table = Table.grid(
            *(Column(no_wrap=True, overflow="ellipsis") for _ in range(3)), padding=(0, 1), pad_edge=False
        )
        table.add_row(Text(self._step), bar, Text(self._text))
        below = [self._ahead.text(), *([f"quality so far: {self._scores()}"] if self._quality else [])]
        return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in below))

    def _scores(self) -> str:
        return ", ".join(f"{name} {value:.1%}" for name, value in self._quality.items())


def lines(taken: StepTaken, *, verbose: bool) -> Iterator[str]:
    """The line of a finished step; if ``verbose``, also what it made, under which key, and with which versions."""
    artifact = taken.artifact
    yield line(taken.name, taken.seconds, str(artifact.facts.get("summary", "")), cached=taken.cached)
    if verbose:
        size = units.show(artifact.size_bytes, "B")
        yield f"    {artifact.path.name}, {size}, {artifact.kind}, made by {artifact.made_by}, {taken.seconds:.3f} s"
        yield f"    key {artifact.key}, sha256 {artifact.sha256}"
        if taken.libraries:
            yield f"    with {', '.join(taken.libraries)}"


def line(step: str, seconds: float, summary: str, *, cached: bool) -> str:
    """The line of a finished step."""
    took = "cached" if cached else f"{seconds:.1f} s"
    return f"{step:<20} {took:>8}  {summary}".rstrip()


def reporter(*, quiet: bool = False, verbose: bool = False, ahead: Ahead | None = None) -> Reporter:
    """The reporter that suits where stderr goes; ``ahead`` is what the time left is told from."""
    if quiet:
        return Quiet()
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        return Live(ahead or Ahead({}), verbose=verbose)
    return Lines(verbose=verbose)
