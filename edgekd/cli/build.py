"""edgekd build."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from edgekd.cli.options import planning
from edgekd.errors import EXIT_OK
from edgekd.plan import Plan
from edgekd.report.model import Report


@click.command()
@planning
@click.option(
    "--allow-inconclusive", is_flag=True, help="Exit with 0 where nothing failed but something can't be decided."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(**given: object) -> int:
    """Build, measure and judge PIPELINE (default: 'default') for a device.

    Exit code: 0 every limit met, 1 a limit exceeded, 2 bad input, 3 a stage failed, 4 can't be decided.
    """
    from edgekd import processes

    processes.check()
    plans = processes.main_first(lambda: _plans(given))
    output = Path(str(given["output"]))
    if not processes.is_main():
        return _help(plans, output)
    results = [_build_one(plan, output, quiet=bool(given["quiet"])) for plan in plans]
    processes.leave()
    if given["as_json"]:
        reports = [asdict(report) for report, _ in results]
        click.echo(json.dumps(reports if len(reports) > 1 else reports[0], indent=1, default=str))
    else:
        _print(results)
    return worst_code([report.exit_code for report, _ in results])


def _plans(given: Mapping[str, object]) -> list[Plan]:
    from edgekd import build
    from edgekd.cli import planned

    plans = planned.plans(given)
    for plan in plans:
        build.check_shares(plan)
    return plans


def worst_code(codes: list[int]) -> int:
    """A failed limit outweighs one that can't be decided, which outweighs success."""
    return next((code for code in (1, 4) if code in codes), 0)


def _build_one(plan: Plan, output: Path, *, quiet: bool) -> tuple[Report, Path]:
    from edgekd import build, findings
    from edgekd.evidence import Findings
    from edgekd.progress import reporter
    from edgekd.report import folder
    from edgekd.rows import run_files
    from edgekd.store import Store

    began = time.monotonic()
    steps = build.run(plan, Store(output / ".store"), reporter(quiet=quiet))
    found = Findings(plan, steps)
    report = findings.report(found, time.monotonic() - began)
    return report, folder.write(report, run_files(found), output)


def _help(plans: list[Plan], output: Path) -> int:
    """In all processes but the first: do a share of the work, and leave it to the first one to judge and to tell."""
    from edgekd import build, processes
    from edgekd.progress import Quiet
    from edgekd.store import Store

    for plan in plans:
        build.run(plan, Store(output / ".store"), Quiet())
    processes.leave()
    return EXIT_OK


def _print(results: list[tuple[Report, Path]]) -> None:
    from rich.console import Console

    from edgekd.report import terminal

    class Printer(Console):
        """A console that leaves the end to ``cli.run``: rich itself would exit with 1, 'a limit exceeded'."""

        def on_broken_pipe(self) -> None:
            """Say that the reader of our output went away."""
            raise BrokenPipeError

    for report, run in results:
        terminal.show(report, run, Printer(highlight=False))
