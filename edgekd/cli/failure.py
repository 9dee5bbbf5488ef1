"""What nobody expected: a full disk, or a bug, whose log is written ready to paste."""

from __future__ import annotations

import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib.metadata import distributions

import click

from edgekd import __version__
from edgekd.errors import EXIT_BUG, EXIT_STAGE, FULL


def report(error: Exception, arguments: list[str]) -> int:
    """Say what happened and return the exit code."""
    if isinstance(error, OSError) and error.errno in FULL:
        click.echo(f"error: the disk is full: {error.filename or error}", err=True)
        click.echo("hint: free some space and build again; finished steps are kept", err=True)
        return EXIT_STAGE
    path = log(error, arguments)
    click.echo(f"error: a bug in edgekd: {type(error).__name__}: {str(error)[:300]}", err=True)
    click.echo(f"hint: please report it with this log: {path}", err=True)
    return EXIT_BUG


def log(error: Exception, arguments: list[str]) -> str:
    """Write what is needed to find the cause, and return where: a file, or 'above' where none can be written."""
    text = "".join(_lines(error, arguments))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="edgekd-", suffix=".log", delete=False, encoding="utf-8") as file:
            file.write(text)
    except OSError:
        click.echo(text, err=True)
        return "above"
    return file.name


def _lines(error: Exception, arguments: list[str]) -> Iterator[str]:
    yield f"edgekd {__version__}, Python {sys.version.split()[0]}, {platform.platform()}\n"
    yield f"$ edgekd {shlex.join(arguments)}\n\n"
    yield from traceback.format_exception(error)
    yield "\n"
    yield from sorted(f"{found.name} {found.version}\n" for found in distributions())
