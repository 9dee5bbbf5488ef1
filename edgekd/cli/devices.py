"""edgekd devices."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from edgekd import device, units
from edgekd.cli import new_device
from edgekd.toml_file import search_path

WIDTH = 80


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List devices, show one with its facts and their sources, write one, or calibrate one."""
    if context.invoked_subcommand is None:
        context.invoke(list_devices)


command.add_command(new_device.command)


@command.command("list")
def list_devices() -> int:
    """List the known devices: ./devices first, then the packaged ones."""
    names = sorted({path.stem for root in search_path("devices") for path in root.glob("*.toml")})
    for name in names:
        one = device.load(name)
        click.echo(f"{name:<18} {one.title:<28} {', '.join(one.runtimes)}")
    return 0


@command.command("show")
@click.argument("name")
def show_device(name: str) -> int:
    """Show the facts, sources and budget of the device NAME."""
    one = device.load(name)
    click.echo(f"{one.name}: {one.title} ({one.path})")
    for line in facts(one):
        echo_wrapped(line)
    if one.reach is not None:
        given = one.reach.model_dump(exclude_none=True, exclude_defaults=True)
        click.echo(f"  {'reach':<17} {', '.join(f'{name} {value}' for name, value in given.items())}")
    from edgekd.targets import nearness

    click.echo("how well its latency is known")
    for line in nearness.described(one):
        echo_wrapped(line, hanging=2)
    click.echo("budget")
    for limit in one.limits:
        click.echo(f"  {limit.text:<34} {limit.origin}")
    for note in one.notes:
        echo_wrapped(f"note: {note}", indent=0, hanging=6)
    return 0


@command.command("setup")
@click.argument("name")
def set_up_device(name: str) -> int:
    """Fetch once what the device NAME is measured with: for a browser the runtimes, by npm."""
    from edgekd import targets
    from edgekd.errors import BadInputError

    one = device.load(name)
    if targets.name_of(one) != "browser":
        raise BadInputError(
            f"{one.path}: found the target {targets.name_of(one)!r}, for which nothing is fetched, expected 'browser'",
            "docs/devices.md tells what a phone or a board needs",
        )
    from edgekd.targets import browser

    click.echo(browser.set_up(one))
    return 0


@command.command("calibrate")
@click.argument("name")
@click.option(
    "--from",
    "reports",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A run's folder, its report.json, or what profile --json gave; repeatable.",
)
def calibrate_device(name: str, reports: tuple[Path, ...]) -> int:
    """Take measurements on the device NAME as anchors, by which predictions for it get narrower."""
    from edgekd.targets import anchors

    one = device.load(name)
    found = anchors.of_reports(reports, one)
    path = anchors.write(one, found)
    for each in found:
        used = "" if each.threads == 1 else f": not used, predictions are for one thread, this is for {each.threads}"
        click.echo(f"{each.artifact}: {units.show(each.p50_s, 's')} ({each.runtime}, {each.precision}){used}")
    click.echo(f"wrote {path}")
    return 0


def echo_wrapped(line: str, indent: int = 2, hanging: int = 18) -> None:
    """Print a line in 80 columns; what follows its first row stands further in."""
    first, rest = " " * indent, " " * (indent + hanging)
    wrapped = textwrap.wrap(
        line, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    click.echo("\n".join(wrapped))


def facts(one: device.Device) -> Iterator[str]:
    """A line for each fact; what is unknown is said to be."""
    for name in type(one.facts).model_fields:
        fact = getattr(one.facts, name)
        if fact is None:
            yield f"{name:<17} unknown"
        else:
            yield f"{name:<17} {describe(name, fact)}  [{fact.source}]"


def describe(name: str, fact: object) -> str:
    """The value of the fact ``name`` as a person writes it."""
    if isinstance(fact, device.Power):
        from_other = f", carried over from {fact.carried_over_from}" if fact.carried_over_from else ""
        return f"{units.show(fact.low, 'W')} to {units.show(fact.high, 'W')} ({fact.basis}{from_other})"
    value = getattr(fact, "value", None)
    if isinstance(value, float):
        return units.show(value, "B/s" if name == "memory_bandwidth" else "B")
    if isinstance(value, tuple):
        parts = [_cluster(item) if isinstance(item, device.Cluster) else str(item) for item in value]
        return ", ".join(parts) or "none"
    return str(value)


def _cluster(cluster: device.Cluster) -> str:
    return f"{cluster.count}x {cluster.core} at {units.show(cluster.clock, 'Hz')}"
