"""Where results are printed: coloured on a terminal, or wherever FORCE_COLOR asks for it; never against NO_COLOR."""

from __future__ import annotations

import os
import sys

from rich.console import Console


class Printer(Console):
    """A console that leaves the end to ``cli.run``: rich itself would exit with 1, 'a limit exceeded'."""

    def on_broken_pipe(self) -> None:
        """Say that the reader of our output went away."""
        raise BrokenPipeError


def console() -> Console:
    """For stdout. Both variables count where they aren't empty (https://force-color.org, https://no-color.org).

    rich takes FORCE_COLOR for a terminal even beside NO_COLOR, and would write bold; and it obeys TERM=dumb before it.
    """
    if os.environ.get("FORCE_COLOR") and not os.environ.get("NO_COLOR"):
        return Printer(highlight=False, force_terminal=True, color_system="standard")
    ignored = "FORCE_COLOR" in os.environ  # rich must not see it, not even empty
    return Printer(highlight=False, force_terminal=sys.stdout.isatty() if ignored else None)
