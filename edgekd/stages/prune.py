"""Prune: take whole channels out until a share of the multiply-accumulates is left, then recover by distillation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError
from edgekd.stages.base import Context
from edgekd.stages.teaching import TeachingConfig, ViewsConfig, teach
from edgekd.store import Product

VERSION = 4
CONSUMES = ((Kind.TORCH,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "torch-pruning", "numpy")
READS_DATA = True


class StepConfig(TeachingConfig):
    """Take whole channels out, then recover by distillation (epochs and what follows are the recovery's)."""

    macs_kept: Annotated[float, Field(gt=0, lt=1)]  # share of the multiply-accumulates that stays, at most
    round_to: Annotated[int, Field(ge=1, le=256)] = 8  # INT8 kernels work on channels in groups of 8
    importance: Literal["magnitude"] = "magnitude"


class Config(StepConfig, ViewsConfig):
    """The same, with the views."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Prune, recover, and keep the weights of the last epoch."""
    from edgekd.algorithms.pruning import prune_channels, uncounted_layers
    from edgekd.models import loading
    from edgekd.models.running import tensors

    module, spec = loading.load(inputs[0].path)
    if uncounted := uncounted_layers(module):
        raise BadInputError(
            f"prune: found {', '.join(uncounted)}, expected two-dimensional convolutions and linear layers alone: "
            "of others it isn't known how much work is left",
            "leave the stage 'prune' out",
        )
    before, after = prune_channels(
        module, tensors(context.task(inputs).representative())[0].contiguous(), config.macs_kept, config.round_to
    )
    if after > config.macs_kept * before:
        raise BadInputError(
            f"prune: {after / before:.0%} of the multiply-accumulates are left, "
            f"expected at most {config.macs_kept:.0%}: "
            f"no channel can go without breaking groups of {config.round_to}",
            "lower round_to, raise macs_kept, or use a wider student",
        )
    record = teach(module, inputs[1:], config, context)
    return Product(
        loading.save(module, spec, context.scratch / "student.safetensors"),
        {
            "macs_before": before,
            "macs_after": after,
            "selection_quality": record.qualities,
            "epoch_losses": record.losses,
            "summary": f"{after / before:.0%} of {before / 1e6:.2f} M multiply-accumulates, "
            f"selection quality {record.qualities[-1]:.1%}",
        },
    )
