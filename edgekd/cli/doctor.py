"""edgekd doctor."""

from __future__ import annotations

import platform
import sys

import click


@click.command("doctor")
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Also see whether it is reached; repeatable.")
def command(devices: tuple[str, ...]) -> int:
    """Say what is installed, what is missing for what, and how to install it; whether a device can be reached.

    Ends with 0, or with 3 where a device isn't reached. What is missing is no failure: not everybody needs it.
    """
    from edgekd import __version__, doctor

    system = f"{platform.system()} {platform.machine()}"
    click.echo(f"edgekd {__version__}, Python {sys.version.split()[0]}, {system}")
    for finding in doctor.findings():
        click.echo(finding.line)
    for name in devices:
        for line in doctor.reached(name):
            click.echo(line)
    return 0
