"""edgekd build."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from edgekd.cli.options import planning
from edgekd.errors import EXIT_OK
from edgekd.planning import Plan
from edgekd.report.model import Report


@click.command()
@planning
@click.option(
    "--allow-inconclusive", is_flag=True, help="Exit with 0 where nothing failed but something can't be decided."
)
@click.option(
    "--no-examples", is_flag=True, help="Keep no test items, images or texts, in report.html and details.json."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Also say what each step made, under which key, with which versions; the traceback of a tool that failed.",
)
def command(**given: object) -> int:
    """Build, measure and judge PIPELINE (default: 'default') for a device.

    Exit code: 0 every limit met, 1 a limit exceeded, 2 bad input, 3 a stage failed, 4 can't be decided.
    """
    from edgekd import processes

    if given["quiet"] and given["verbose"]:
        raise click.UsageError("found both --quiet and --verbose, expected one of them")
    processes.check()
    plans = processes.main_first(lambda: _plans(given))
    output = Path(str(given["output"]))
    if not processes.is_main():
        return _help(plans, output)
    results = [_build_one(plan, output, given) for plan in plans]
    _summarize(results)
    processes.leave()
    if given["as_json"]:
        reports = [asdict(report) for report, _ in results]
        click.echo(json.dumps(reports if len(reports) > 1 else reports[0], indent=1, default=str))
    else:
        _print(results)
    return worst_code([report.exit_code for report, _ in results])


def _plans(given: Mapping[str, object]) -> list[Plan]:
    from edgekd.api import ready
    from edgekd.cli import planned

    return [ready(plan) for plan in planned.plans(given)]


def worst_code(codes: list[int]) -> int:
    """A failed limit outweighs one that can't be decided, which outweighs success."""
    return next((code for code in (1, 4) if code in codes), 0)


def _build_one(plan: Plan, output: Path, given: Mapping[str, object]) -> tuple[Report, Path]:
    from edgekd import ahead
    from edgekd.api import build_plan
    from edgekd.errors import StageError
    from edgekd.progress import reporter

    quiet, verbose = bool(given["quiet"]), bool(given["verbose"])
    try:
        return build_plan(plan, output, reporter(quiet=quiet, verbose=verbose, ahead=ahead.of(plan, output)))
    except StageError as error:
        if verbose:
            import traceback

            click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        raise


def _summarize(results: list[tuple[Report, Path]]) -> None:
    """Append each report.md to the summary of a GitHub job, where this is one."""
    from edgekd.report import markdown

    named = os.environ.get("GITHUB_STEP_SUMMARY")
    if not named:
        return
    try:
        with Path(named).open("a", encoding="utf-8") as summary:
            summary.writelines(f"{markdown.text(report)}\n" for report, _ in results)
    except OSError as error:
        click.echo(f"{named} (GITHUB_STEP_SUMMARY): can't be written: {error.strerror}", err=True)
    else:
        click.echo(f"report.md was appended to {named} (GITHUB_STEP_SUMMARY)", err=True)


def _help(plans: list[Plan], output: Path) -> int:
    """In all processes but the first: do a share of the work, and leave it to the first one to judge and to tell."""
    from edgekd import executor, processes
    from edgekd.progress import Quiet
    from edgekd.store import Store

    for plan in plans:
        executor.run(plan, Store(output / ".store"), Quiet())
    processes.leave()
    return EXIT_OK


def _print(results: list[tuple[Report, Path]]) -> None:
    from edgekd.cli import printing
    from edgekd.report import terminal

    for report, run in results:
        terminal.show(report, run, printing.console())
