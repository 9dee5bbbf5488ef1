"""edgekd stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import click

from edgekd.errors import BadInputError, nearest
from edgekd.objectives import OBJECTIVES
from edgekd.objectives.base import Need
from edgekd.objectives.table import Loss
from edgekd.pipeline import STEPS


class StageGroup(click.Group):
    """'edgekd stages NAME' is short for 'edgekd stages show NAME'."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take what is no command for a stage's name."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=StageGroup, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the stages of a pipeline, or show the options of one: edgekd stages NAME."""
    if context.invoked_subcommand is None:
        context.invoke(list_stages)


@command.command("list")
def list_stages() -> int:
    """List the stages in the order in which a pipeline names them."""
    for name, config in STEPS.items():
        click.echo(f"{name:<10} {(config.__doc__ or '').splitlines()[0]}")
    return 0


@command.command("show")
@click.argument("name")
def show_stage(name: str) -> int:
    """Show the options of the stage NAME."""
    if name not in STEPS:
        raise BadInputError(f"found no stage {name!r}", nearest(name, STEPS))
    click.echo(f'[[stages]]\nuse = "{name}"')
    for option, field in STEPS[name].model_fields.items():
        default = "required" if field.is_required() else f"default {toml(field.default)}"
        click.echo(f"{option:<20} {kind(field.annotation):<44} {default}")
    if "losses" in STEPS[name].model_fields:
        click.echo("\nA loss is { use = NAME } with its options; docs/losses.md says which one is for what:")
        for line in losses(by_labels=name == "finetune"):
            click.echo(line)
    return 0


def losses(*, by_labels: bool) -> Iterator[str]:
    """A line for each loss that a stage can have: all of them, or those that need no teacher."""
    for name, objective in OBJECTIVES.items():
        if not by_labels or objective.needs <= {Need.LABELS}:
            yield f"{name:<20} {objective.summary:<51} {', '.join(objective.config.model_fields)}"


def kind(annotation: Any) -> str:
    """A type as a person writes its values: 'int', or the words that are allowed."""
    inner = get_args(annotation)
    if type(None) in inner:
        return kind(inner[0])
    if get_origin(annotation) is Literal:
        return " | ".join(repr(word) for word in inner)
    if annotation is Any:
        return "table"
    if inner[:1] == (Loss,):
        return "list of losses, see below"
    if get_origin(annotation) is tuple:
        return f"list of {kind(inner[0])}"
    return str(annotation.__name__)


def toml(value: object) -> str:
    """A default as a pipeline would say it."""
    if value is None:
        return "none"
    return repr(list(value)) if isinstance(value, tuple) else repr(value)
