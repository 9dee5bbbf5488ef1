"""edgekd check."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--device", "name", metavar="NAME", help="Judge by this device's budget instead of the run's own.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="RULE",
    help="A limit to add or replace: 'latency_p95<=20ms'; repeatable.",
)
@click.option(
    "--allow-inconclusive", is_flag=True, help="Exit with 0 where nothing failed but something can't be decided."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report with its new checks as JSON.")
def command(report: Path, name: str | None, limits: tuple[str, ...], *, allow_inconclusive: bool, as_json: bool) -> int:
    """Judge the saved measurements of REPORT, a run folder or a report.json, again; nothing is run.

    Exit code: 0 every limit met, 1 a limit exceeded, 2 bad input, 4 can't be decided.
    """
    from edgekd import device
    from edgekd.cli import printing
    from edgekd.limits import parse_option
    from edgekd.rejudge import Rejudging
    from edgekd.report import folder, reading, terminal

    found = reading.read(report)
    asked = device.load(name) if name is not None else None
    run = report if report.is_dir() else report.parent
    judged = Rejudging(found, run, asked, tuple(parse_option(each) for each in limits)).judged(
        allow_inconclusive=allow_inconclusive
    )
    if as_json:
        click.echo(folder.to_json(judged), nl=False)
    else:
        terminal.show_verdict(judged, printing.console())
    return judged.exit_code
