"""edgekd compare."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("compare")
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--fail-on-regression",
    "rules",
    multiple=True,
    metavar="RULE",
    help="Exit with 1 where an INT8 file got worse by more: 'latency_p95>5%'; repeatable, for runs only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON, and nothing else.")
def command(first: Path, second: Path, rules: tuple[str, ...], *, as_json: bool) -> int:
    """Compare two runs, A before and B after: folders or report.json files. Or two bundles: folders or zips.

    Runs: ends with 1 if B breaks a --fail-on-regression, 4 if that can't be told, else 0.
    Bundles: ends with 1 if an app that runs A has to change for B.
    """
    from edgekd.compare import bundles, regressions, reports, runs
    from edgekd.errors import BadInputError

    asked = [regressions.parse(rule) for rule in rules]
    kinds = [_is_bundle(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        raise BadInputError(
            f"found {'a bundle' if kinds[0] else 'a run'} and {'a bundle' if kinds[1] else 'a run'}, "
            "expected two of one kind",
            "a run's own bundle lies in its folder 'bundle'",
        )
    found: bundles.BundleComparison | reports.Comparison
    if kinds[0]:
        if asked:
            raise BadInputError("found --fail-on-regression with bundles", "name two run folders")
        found = bundles.compare(bundles.read(first), bundles.read(second))
    else:
        found = reports.compare(runs.read(first), runs.read(second), asked)
    click.echo(found.json() if as_json else "\n".join(found.lines()))
    return found.exit_code


def _is_bundle(path: Path) -> bool:
    return (path / "manifest.json").is_file() if path.is_dir() else path.suffix.lower() == ".zip"
