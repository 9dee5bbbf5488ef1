"""edgekd devices new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("new")
@click.argument("name")
@click.argument("where", required=False, metavar="[USER@HOST|SERIAL]")
@click.option(
    "--from",
    "way",
    type=click.Choice(["host", "adb", "ssh"]),
    required=True,
    help="Read it off this machine, a phone over adb, or a machine over ssh.",
)
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An ssh configuration.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port for ssh.")
@click.option(
    "--budget", "limits", multiple=True, metavar="RULE", help="A limit to write: 'latency_p95 < 50 ms'; repeatable."
)
@click.option("--force", is_flag=True, help="Overwrite the file that is there.")
def command(**given: Any) -> int:
    """Write ./devices/NAME.toml from what a device tells of itself; what it doesn't tell stays unknown."""
    from datetime import UTC, datetime

    from edgekd.starting import device_file, device_reading

    path = device_file.path_of(given["name"])
    device_file.refuse_present(path, force=given["force"])
    limits = device_file.budget(given["limits"])
    there = device_reading.there(given["way"], given["where"], given["config"], given["port"])
    today = datetime.now(UTC).date().isoformat()
    made = device_file.text(given["name"], there, device_reading.read_off(there), limits, today)
    one = device_file.write(path, made, force=given["force"])
    _tell(path, one, budget=bool(limits))
    return 0


def _tell(path: Path, one: Any, *, budget: bool) -> None:
    from edgekd.cli.devices import echo_wrapped, facts

    click.echo(f"wrote {path}: {one.title}")
    for line in facts(one):
        echo_wrapped(line)
    if not budget:
        click.echo(f"next: give it a budget, in {path}")
    click.echo(f"then: edgekd devices show {one.name}")
