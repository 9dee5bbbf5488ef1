"""edgekd report."""

from __future__ import annotations

from pathlib import Path

import click

from edgekd.errors import EXIT_OK


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it [default: report.html beside the report].",
)
@click.option("--no-examples", "examples", is_flag=True, flag_value=False, default=True, help="Show no test items.")
@click.option("--open", "shown", is_flag=True, help="Open it in a browser.")
def command(run: Path, output: Path | None, *, examples: bool, shown: bool) -> int:
    """Write report.html of a finished RUN again.

    RUN is a run folder, for example artifacts/latest, or a report.json. The model files needn't be there any more.
    """
    from edgekd.errors import MissingExtraError
    from edgekd.report import figure, page, reading

    report = reading.read(run)
    if not figure.possible():
        raise MissingExtraError("matplotlib", "report", "edgekd report")
    path = page.write(report, run if run.is_dir() else run.parent, output, examples=examples)
    click.echo(path)
    if shown and click.launch(str(path)) != 0:
        click.echo("found no browser that could be started: open the file by hand", err=True)
    return EXIT_OK
