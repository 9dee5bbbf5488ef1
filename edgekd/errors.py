"""What can go wrong, with the exit code that each kind ends in.

Every message says what was found, what was expected and where; the hint says what to do.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
EXIT_OK = 0
EXIT_FAIL = 1
EXIT_USAGE = 2
EXIT_STAGE = 3
EXIT_INCONCLUSIVE = 4
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class EdgekdError(Exception):
    """A failure that a user can act on."""

    exit_code = EXIT_STAGE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInputError(EdgekdError):
    """The command line, a pipeline, a device file, a model or the data is wrong; nothing was run."""

    exit_code = EXIT_USAGE


class MissingExtraError(BadInputError):
    """A package that this pipeline needs is not installed."""

    def __init__(self, package: str, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed",
            f"install it with: pip install 'edgekd[{extra}]'",
        )


class StageError(EdgekdError):
    """A stage, or a tool that it needs, failed."""

    exit_code = EXIT_STAGE


def unwritable(place: object, error: OSError, hint: str = "") -> EdgekdError:
    """The error for a place that can't be written; a full disk is nobody's wrong input."""
    if error.errno in FULL:
        return StageError(f"{place}: the disk is full", "free some space and try again; what was there is kept")
    return BadInputError(f"{place}: found a place that can't be written: {error.strerror}", hint)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known words are meant, as the end of a sentence ('did you mean …?' or the list)."""
    names = sorted(known)
    close = get_close_matches(word, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(name) for name in close)}?"
    return f"known: {', '.join(names)}"
