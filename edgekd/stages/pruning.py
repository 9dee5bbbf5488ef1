"""What pruning gives, whichever parts go: a smaller network, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from edgekd.errors import BadInputError

if TYPE_CHECKING:
    from torch import nn

    from edgekd.models.loading import ModelSpec
    from edgekd.stages.prune import Config

Of = Literal["macs", "parameters"]
TAYLOR_ROWS = 512  # training rows from which importance is told
NOUNS: dict[Of, str] = {"macs": "multiply-accumulates", "parameters": "parameters"}


@dataclass(frozen=True, slots=True)
class Pruned:
    """A network without some of its parts, before it has recovered."""

    module: nn.Module
    spec: ModelSpec
    macs: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""  # what else is left, for the step's summary


class Cutter(Protocol):
    """Takes parts out of one network."""

    model: tuple[nn.Module, ModelSpec]
    macs: int  # of the whole

    def cut(self, config: Config) -> Pruned:
        """Return a network of which at most the share is left that ``config`` wants; the whole one stays as it is.

        Raises:
            BadInputError: so little can't be had.

        """


def target(config: Config) -> tuple[float, Of]:
    """The share that is to stay, and of what: 'macs' or 'parameters'."""
    return (config.macs_kept, "macs") if config.macs_kept is not None else (config.parameters_kept or 1.0, "parameters")


def refuse_too_many(before: int, after: int, config: Config, reason: str, hint: str) -> None:
    """Refuse a network of which more is left than was wanted."""
    kept, of = target(config)
    if after > kept * before:
        raise BadInputError(
            f"prune: {after / before:.0%} of the {NOUNS[of]} are left, expected at most {kept:.0%}: {reason}",
            f"{hint}raise {of}_kept, or use a wider student",
        )
