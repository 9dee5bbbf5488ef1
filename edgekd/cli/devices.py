"""edgekd devices."""

from __future__ import annotations

from collections.abc import Iterator

import click

from edgekd import device, units
from edgekd.toml_file import search_path


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List devices, or show one with its facts and their sources."""
    if context.invoked_subcommand is None:
        context.invoke(list_devices)


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
        click.echo(f"  {line}")
    click.echo("budget")
    for limit in one.limits:
        click.echo(f"  {limit.text:<34} {limit.origin}")
    for note in one.notes:
        click.echo(f"note: {note}")
    return 0


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
        return ", ".join(_cluster(item) if isinstance(item, device.Cluster) else str(item) for item in value)
    return str(value)


def _cluster(cluster: device.Cluster) -> str:
    return f"{cluster.count}x {cluster.core} at {units.show(cluster.clock, 'Hz')}"
