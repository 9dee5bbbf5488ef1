"""edgekd plan."""

from __future__ import annotations

from pathlib import Path

import click

from edgekd.cli.options import planning
from edgekd.plan import Plan

WORDS = {True: "cached", False: "run", None: "run (what it needs is not made yet)"}


@click.command()
@planning
def command(**given: object) -> int:
    """Show what a build of PIPELINE (default: 'default') would do; nothing is run."""
    from edgekd.cli import planned

    for one in planned.plans(given):
        _show(one, Path(str(given["output"])) / ".store")
    return 0


def _show(one: Plan, root: Path) -> None:
    from edgekd.build import cached_steps
    from edgekd.store import Reading

    click.echo(f"pipeline {one.pipeline.name} ({one.pipeline.path})")
    click.echo(f"device   {one.device.name}: {one.device.title} ({one.device.path})")
    click.echo("steps")
    for node, cached in cached_steps(one, Reading(root)):
        click.echo(f"  {node.name:<26} {WORDS[cached]}")
    click.echo("limits")
    for limit in one.limits:
        click.echo(f"  {limit.text:<34} {limit.origin}")
