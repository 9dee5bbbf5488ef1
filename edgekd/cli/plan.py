"""edgekd plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from edgekd.cli.options import planning
from edgekd.planning import Plan

WORDS = {True: "cached", False: "run", None: "run (what it needs is not made yet)"}


@click.command()
@planning
def command(**given: object) -> int:
    """Show what a build of PIPELINE (default: 'default') would do; nothing is run."""
    from edgekd.cli import planned

    for one in planned.plans(given):
        _show(one, Path(str(given["output"])))
    return 0


def _show(one: Plan, output: Path) -> None:
    from edgekd import expected
    from edgekd.executor import cached_steps
    from edgekd.store import Reading

    click.echo(f"pipeline {one.pipeline.name} ({one.pipeline.path})")
    click.echo(f"device   {one.device.name}: {one.device.title} ({one.device.path})")
    click.echo("steps")
    known = expected.seconds(output, one.pipeline.name)
    missing = []
    for node, cached in cached_steps(one, Reading(output / ".store")):
        took = f", {known[node.name]:.1f} s the last time" if not cached and node.name in known else ""
        click.echo(f"  {node.name:<26} {WORDS[cached]}{took}")
        missing += [] if cached else [node.name]
    click.echo("limits")
    for limit in one.limits:
        click.echo(f"  {limit.text:<34} {limit.origin}")
    if missing:
        click.echo(_expected(missing, known))


def _expected(missing: list[str], known: Mapping[str, float]) -> str:
    """How long the steps that must run will take, as far as earlier runs tell."""
    told = [known[name] for name in missing if name in known]
    if not told:
        return f"{len(missing)} steps to run; how long they take is unknown: no run in this output folder took them"
    unknown = len(missing) - len(told)
    rest = f", and {unknown} of unknown length" if unknown else ""
    return f"{len(missing)} steps to run: about {sum(told):.0f} s by earlier runs{rest}"
