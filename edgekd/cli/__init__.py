"""The command line: parse, call one function, print, return an exit code.

A command's module is imported when that command runs: ``edgekd --help`` needs click alone.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from edgekd import __version__, interrupts, processes
from edgekd.cli import streams
from edgekd.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, EdgekdError, StageError

COMMANDS = {
    "build": "Build, measure and judge: the whole pipeline for one device or more.",
    "check": "Judge the saved measurements of a finished run again.",
    "report": "Write report.html of a finished run again.",
    "bundle": "Bundle a finished run again, for an app team.",
    "init": "Write a first pipeline for your data and teacher.",
    "compare": "Compare two runs, or two bundles: what changed, and what got worse.",
    "plan": "Show what a build would do, what is cached, and which limits apply.",
    "profile": "Measure any .onnx or .tflite file on a device.",
    "doctor": "Say what is installed and what is missing, and whether a device is reached.",
    "clean": "Free the store of what no report needs.",
    "verify": "Check a bundle: whole, signed, in agreement with itself, and its golden answers.",
    "devices": "List devices, or show one with its facts and their sources.",
    "stages": "List the stages of a pipeline, or show the options of one.",
}
EXIT_PIPE = 141  # 128 + SIGPIPE, as a shell reports a reader that went away


class ReaderGoneError(Exception):
    """Whoever read our output went away."""


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of COMMANDS."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, unless a shell only completes its name."""
        if cmd_name not in COMMANDS:
            return None
        if ctx.resilient_parsing:
            return click.Command(cmd_name, short_help=COMMANDS[cmd_name])
        return _imported(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Keep a closed pipe from click, which would exit with 1: 'a limit exceeded'."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGoneError from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest commands where there is none of that name; a shell completes options, too."""
        from edgekd.errors import nearest

        if args and args[0] not in COMMANDS:
            raise click.UsageError(f"found no command {args[0]!r}: {nearest(args[0], COMMANDS)}", ctx)
        if args and ctx.resilient_parsing:
            return args[0], _imported(args[0]), args[1:]
        return super().resolve_command(ctx, args)


def _imported(name: str) -> click.Command:
    command: click.Command = import_module(f"edgekd.cli.{name}").command
    return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekd")
def main() -> None:
    """Distil, prune and quantize a model, and prove that it fits a phone or board.

    \b
    edgekd build --device pixel8        the default pipeline for a Pixel 8
    edgekd plan --device host           what a build would do
    edgekd devices list                 which devices are known
    """  # noqa: D301 (click reads \b)


def entry() -> None:
    """Run the command line and exit with its code."""
    streams.prepare()
    interrupts.remember()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run ``arguments`` and return the exit code; every way to fail ends here."""
    try:
        code = main.main(arguments, prog_name="edgekd", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if processes.is_main():
            error.show()
        return EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        if processes.is_main():
            _say("interrupted: finished steps are kept, the next build goes on from there")
        return EXIT_INTERRUPTED
    except (ReaderGoneError, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
        return EXIT_PIPE
    except Exception as error:  # noqa: BLE001 (the one place that turns what nobody expected into a report)
        return EXIT_OK if processes.left_to_main() else _failed(error, arguments)
    return int(code or 0)


def _failed(error: Exception, arguments: list[str]) -> int:
    """Say what went wrong, and what to do."""
    if not isinstance(error, EdgekdError):
        from edgekd.cli import failure

        return failure.report(error, arguments)
    _say(f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else []))
    if isinstance(error, StageError) and error.__cause__ is not None:
        from edgekd.cli import failure

        _say(f"log: {failure.log(error, arguments)}")
    return error.exit_code


def _say(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)
