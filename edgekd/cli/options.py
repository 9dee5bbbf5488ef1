"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from edgekd.asked import MOST_THREADS, WORDS

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
        type=click.IntRange(1, MOST_THREADS),
        default=1,
        show_default=True,
        help="Threads to train and measure with.",
    ),
    click.option("--load", type=click.IntRange(0, 256), default=0, help="Measure again beside so many busy cores."),
    click.option("--sustained", is_flag=True, help="Run INT8 files for ten minutes, or until the speed is steady."),
    click.option(
        "--parity",
        type=click.Choice(WORDS["parity"]),
        help="Also run the INT8 files on an emulated Arm processor; what that needs is fetched the first time.",
    ),
    click.option("--require", type=click.Choice(WORDS["require"]), help="The least evidence that is judged."),
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
