"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


OPTIONS = (
    click.argument("pipeline", default="default"),
    click.option(
        "--device", "devices", multiple=True, required=True, metavar="NAME", help="A device's name or file; repeatable."
    ),
    click.option(
        "--limit", "limits", multiple=True, metavar="RULE", help="A limit to add: 'latency_p95<=20ms'; repeatable."
    ),
    click.option(
        "--control", is_flag=True, help="Also train the student on labels alone, to see what distilling gave."
    ),
    click.option("--quick", is_flag=True, help="Measure in a hurry, for a look."),
    click.option(
        "--threads",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        help="Threads to train and measure with.",
    ),
    click.option("--require", type=click.Choice(["on_device", "predicted"]), help="The least evidence that is judged."),
    click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False),
        default="artifacts",
        show_default=True,
        help="Where everything is written.",
    ),
)


def planning(command: Command) -> Command:
    """Give ``command`` what ``build`` and ``plan`` both take."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
