"""What a stage is: a module with these names, and one line in STAGES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgekd.artifact import Artifact, Kind
from edgekd.store import Product
from edgekd.tasks import TaskData
from edgekd.tasks.base import Task
from edgekd.toml_file import Frozen


@dataclass(frozen=True, slots=True)
class Context:
    """All that a stage may use from outside: it writes below ``scratch`` and ``partial`` only."""

    scratch: Path
    partial: Path  # survives an interruption; for checkpoints
    data: TaskData
    seed: int
    threads: int
    progressed: Callable[[int, int, str], None]

    def task(self, inputs: Sequence[Artifact] = ()) -> Task:
        """The task, whose texts are read by the first tokenizer among ``inputs``."""
        tokenizer = next((each.path for each in inputs if each.kind is Kind.TOKENIZER), None)
        return self.data.open(tokenizer, self.scratch)


class Stage(Protocol):
    """The names that a stage's module defines."""

    @property
    def VERSION(self) -> int:  # noqa: N802 (a module's constant)
        """Raised when the stage's output changes; part of the artifact's key."""

    @property
    def CONSUMES(self) -> tuple[tuple[Kind, ...], ...]:  # noqa: N802
        """For each input, the kinds that it may have."""

    @property
    def PRODUCES(self) -> Kind:  # noqa: N802
        """What it makes."""

    @property
    def LIBRARIES(self) -> tuple[str, ...]:  # noqa: N802
        """The distributions whose versions decide the output, whatever the options; a Config may name more."""

    @property
    def READS_DATA(self) -> bool:  # noqa: N802
        """Whether the data decides the output."""

    @property
    def Config(self) -> type[Frozen]:  # noqa: N802
        """Its options."""

    def run(self, inputs: tuple[Artifact, ...], config: Any, context: Context, /) -> Product:
        """Make the artifact from ``inputs``."""


class NoConfig(Frozen):
    """A stage without options."""
