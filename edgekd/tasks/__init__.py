"""Tasks: how inputs are prepared and outputs are scored. A module each, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from edgekd.data import domain
from edgekd.data.sources import Source
from edgekd.errors import BadInputError, nearest
from edgekd.tasks import image_classification, text_classification, text_embedding
from edgekd.tasks.base import Outputs, Task
from edgekd.tasks.own import OwnTask
from edgekd.toml_file import Frozen


class TaskModule(Protocol):
    """The names that a task's module defines."""

    @property
    def NAME(self) -> str:  # noqa: N802 (a module's constant)
        """What a pipeline calls it."""

    @property
    def OUTPUTS(self) -> Outputs:  # noqa: N802
        """What its models give."""

    @property
    def DEFAULTS(self) -> Mapping[str, Mapping[str, Any]]:  # noqa: N802
        """For each step, the options that this task has other defaults for."""

    @property
    def DataConfig(self) -> type[Frozen]:  # noqa: N802
        """The [data] table."""

    def source(self, config: Any, cache: Path | None, /) -> Source[Any]:
        """Where the data comes from; ``cache`` takes tables as files that can be mapped into memory."""

    def open_task(self, data: Any, config: Any, tokenizer: Path | None, scratch: Path, /) -> Task:
        """Bind the loaded data to the task."""


TASKS: dict[str, TaskModule] = {
    image_classification.NAME: image_classification,
    text_classification.NAME: text_classification,
    text_embedding.NAME: text_embedding,
}
# The tasks that can be trained on the rows of another source, and how that is read.
DOMAINS: Mapping[str, Callable[[Any, Any, Path | None], Source[Any]]] = {
    image_classification.NAME: domain.images,
    text_classification.NAME: domain.texts,
}


def named(name: str) -> TaskModule | None:
    """The task that a pipeline calls ``name``, one of the user's own if it is 'module:function'; None for no task."""
    return OwnTask(name) if ":" in name else TASKS.get(name)


def outputs_of(task: str, config: Any) -> Outputs | None:
    """What the models of ``task`` give, with ``config`` as its [data] table; None for no task."""
    found = named(task)
    return None if found is None else getattr(config, "outputs", found.OUTPUTS)


class TaskData:
    """A task's data: its digest and the data itself, each read when first asked for."""

    def __init__(self, task: str, config: Any, cache: Path | None = None, source: Source[Any] | None = None) -> None:
        found = named(task)
        if found is None:
            raise BadInputError(f"found the task {task!r}", nearest(task, TASKS))
        self.module = found
        self.config = config
        self.source = self.module.source(config, cache) if source is None else source

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the data and of how it is split."""
        return f"{self.source.digest()}:{self.config.selection}"

    @cached_property
    def set(self) -> Any:
        """The data set, checked."""
        return self.source.load()

    def trained_on(self, config: Any, cache: Path | None = None) -> TaskData:
        """The same with other training rows, those of a table of one of DOMAINS, in the same classes."""
        name = self.module.NAME
        return TaskData(name, config, cache, DOMAINS[name](self, config, cache))

    def open(self, tokenizer: Path | None, scratch: Path) -> Task:
        """The task with its data; ``scratch`` takes what doesn't fit into memory."""
        return self.module.open_task(self.set, self.config, tokenizer, scratch)
