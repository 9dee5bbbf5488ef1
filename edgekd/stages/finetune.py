"""Fine-tune: train a model on the labels of its own data, without a teacher."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from edgekd.artifact import Artifact, Kind
from edgekd.objectives.table import Losses
from edgekd.stages.base import Context
from edgekd.stages.teaching import TeachingConfig, ViewsConfig, teach
from edgekd.store import Product

VERSION = 4
CONSUMES = ((Kind.TORCH,),)
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "numpy")
READS_DATA = True


class LabelsConfig(TeachingConfig):
    """Train on the labels alone."""

    losses: Losses = Field(default=[{"use": "labels"}], validate_default=True)  # type: ignore[arg-type]  # is parsed
    live: Literal[False] = False  # there is no teacher

    @field_validator("live", mode="before")
    @classmethod
    def _no_teacher(cls, live: object) -> object:
        if live is True:
            raise ValueError("expected it left out: a fine-tuning has labels alone, and no teacher to run beside it")
        return live


class StepConfig(LabelsConfig):
    """Train on the labels alone, of the pipeline's data or of data of its own."""

    data: Any = None  # a table like [data], of which the training rows are read; checked by the task


class Config(LabelsConfig, ViewsConfig):
    """The same, with the views."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Train, and keep the weights of the last epoch."""
    from edgekd.models import loading

    module, spec = loading.load(inputs[0].path)
    record, notes = teach(module, inputs[1:], config, context)
    summary = f"selection quality {record.qualities[-1]:.1%} in {config.epochs} epochs"
    facts = {"selection_quality": record.qualities, "epoch_losses": record.losses, "problems": notes}
    return Product(loading.save(module, spec, context.scratch / "model.safetensors"), {**facts, "summary": summary})
