"""A task of the user's own: 'module:function' that returns a Task; the [data] table holds the function's options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from edgekd import dotted
from edgekd.data import repeats
from edgekd.errors import BadInputError
from edgekd.tasks.base import Outputs, Split, Task
from edgekd.toml_file import Frozen

WHERE = "task"
MOST_COMPARED = 200_000  # rows of both splits together, each of which is read for it


class OwnConfig(Frozen):
    """The [data] table: ``selection``, ``outputs`` ('logits' or 'vectors'), and whatever the function takes."""

    model_config = ConfigDict(frozen=True, extra="allow")
    selection: Annotated[int, Field(ge=1)] = 500
    licence: str = ""  # of the data, for the bundle
    outputs: Outputs = Outputs.LOGITS  # what the models give, which a plan must know before the function is called

    def beside(self, folder: Path) -> OwnConfig:
        """The same: what the function's options mean is the function's business."""
        del folder
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What is handed to the function."""
        return dict(self.model_extra or {})


@dataclass(frozen=True)
class OwnSource:
    """Calls the function; the data counts by the function's file and options."""

    name: str
    options: Mapping[str, Any]

    def check(self) -> None:
        """Refuse a module that isn't there."""
        dotted.source(self.name, WHERE)

    def digest(self) -> str:
        """SHA-256 of the module's file and the options."""
        return hashlib.sha256(
            (dotted.digest(self.name, WHERE) + json.dumps(self.options, sort_keys=True, default=str)).encode()
        ).hexdigest()

    def load(self) -> Task:
        """Return the function's task."""
        function = dotted.function(self.name, WHERE)
        try:
            made = function(**self.options)
        except Exception as error:  # whatever a user's function raises
            raise BadInputError(f"{WHERE}: {self.name} raised {type(error).__name__}: {error}") from error
        if not isinstance(made, Task):
            raise BadInputError(
                f"{WHERE}: {self.name} returned a {type(made).__name__}, expected edgekd.tasks.base.Task"
            )
        made.problems = (*made.problems, *repeated(made))
        return made


def repeated(task: Task) -> tuple[str, ...]:
    """What the report says of test rows that are training rows too: all of their inputs are the same."""
    rows = task.count("train") + task.count("test")
    if rows > MOST_COMPARED:
        found = f"found {rows:,} {task.row}s, more than {MOST_COMPARED:,}"
        return (f"test {task.row}s that occur in training too were not looked for: {found}",)
    return repeats.note_rows(_contents(task, "train"), _contents(task, "test"), task.row)


def _contents(task: Task, split: Split) -> Iterator[bytes]:
    """A digest of each row's inputs; rows are read one by one, so that none is padded to another's length."""
    for inputs in task.each(split):
        found = hashlib.blake2b(digest_size=16)
        for name, values in inputs.items():
            found.update(f"{name} {values.shape} {values.dtype.str} ".encode() + values.tobytes())
        yield found.digest()


class OwnTask:
    """What a task's module defines, for a task that lies outside edgekd."""

    OUTPUTS = Outputs.LOGITS  # unless [data] outputs says something else
    DEFAULTS: Mapping[str, Mapping[str, Any]] = {}
    DataConfig = OwnConfig

    def __init__(self, name: str) -> None:
        self.NAME = name

    def source(self, config: OwnConfig, _cache: Path | None) -> OwnSource:
        """Where the data comes from."""
        return OwnSource(self.NAME, config.options)

    def open_task(self, data: Task, config: OwnConfig, _tokenizer: Path | None, _scratch: Path) -> Task:
        """The function's task, with the pipeline's number of rows for choosing.

        Raises:
            BadInputError: its outputs are others than the pipeline says.

        """
        if data.outputs is not config.outputs:
            raise BadInputError(
                f"{WHERE}: {self.NAME} returned a task whose outputs are {data.outputs}, "
                f"and [data] outputs says {config.outputs}",
                f"write outputs = '{data.outputs}' in [data]",
            )
        data.selection = config.selection
        return data
