"""Distil: train the student on the teacher's cached logits and on the labels."""

from __future__ import annotations

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.stages.teaching import TeachingConfig, ViewsConfig, teach
from edgekd.store import Product

VERSION = 3
CONSUMES = ((Kind.TORCH,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "numpy")
READS_DATA = True


class StepConfig(TeachingConfig):
    """Train the student on the teacher's cached logits and on the labels."""


class Config(StepConfig, ViewsConfig):
    """The same, with the views."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Train, and keep the weights of the last epoch."""
    from edgekd.models import loading

    module, spec = loading.load(inputs[0].path)
    record, _ = teach(module, inputs[1:], config, context)
    return Product(
        loading.save(module, spec, context.scratch / "student.safetensors"),
        {
            "selection_quality": record.qualities,
            "epoch_losses": record.losses,
            "summary": f"selection quality {record.qualities[-1]:.1%} in {config.epochs} epochs",
        },
    )
