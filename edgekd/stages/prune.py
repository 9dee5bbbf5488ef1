"""Prune: take whole channels out until a share of the multiply-accumulates is left, then recover by distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError
from edgekd.stages.base import Context
from edgekd.stages.teaching import TeachingConfig, ViewsConfig, teach
from edgekd.store import Product

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSION = 5
CONSUMES = ((Kind.TORCH,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "torch-pruning", "numpy")
READS_DATA = True
TAYLOR_ROWS = 512
Share = Annotated[float, Field(gt=0, lt=1)]


class StepConfig(TeachingConfig):
    """Take whole channels out, then recover by distillation (epochs and what follows are the recovery's)."""

    macs_kept: Share | None = None  # share of the multiply-accumulates that stays, at most
    parameters_kept: Share | None = None  # or of the parameters
    round_to: Annotated[int, Field(ge=1, le=256)] = 8  # INT8 kernels work on channels in groups of 8
    importance: Literal["magnitude", "taylor", "batch-norm"] = "magnitude"
    ratios: Literal["equal", "global"] = "equal"  # each layer loses the same share, or the least important anywhere
    sparsity: Share | None = None  # zero this share of single weights instead
    acknowledge_no_speedup: bool = False

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        targets = ("macs_kept", "parameters_kept", "sparsity")
        given = [name for name in targets if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'none of them'}, expected one of {', '.join(targets)}")
        if self.sparsity is not None and not self.acknowledge_no_speedup:
            raise ValueError(
                "found sparsity, expected macs_kept: no kernel of onnxruntime or TFLite gains from zeros among the "
                "weights; to have them all the same, say acknowledge_no_speedup = true"
            )
        return self


class Config(StepConfig, ViewsConfig):
    """The same, with the views."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Prune, recover, and keep the weights of the last epoch."""
    from edgekd.algorithms.pruning import multiply_accumulates, uncounted_layers, zero_smallest
    from edgekd.models import loading

    module, spec = loading.load(inputs[0].path)
    if uncounted := uncounted_layers(module):
        raise BadInputError(
            f"prune: found {', '.join(uncounted)}, expected two-dimensional convolutions and linear layers alone: "
            "of others it isn't known how much work is left",
            "leave the stage 'prune' out",
        )
    example = _example(inputs, context)
    before = multiply_accumulates(module, example)
    if config.sparsity is None:
        _take_channels(module, example, config, inputs, context)
        record, _ = teach(module, inputs[1:], config, context)
    else:
        release = zero_smallest(module, config.sparsity)
        record, _ = teach(module, inputs[1:], config, context)
        release()
    after, quality = multiply_accumulates(module, example), record.qualities[-1]
    work = f"{after / before:.0%} of {before / 1e6:.2f} M multiply-accumulates"
    left = work if config.sparsity is None else f"{config.sparsity:.0%} of the weights are zero, none is saved"
    return Product(
        loading.save(module, spec, context.scratch / "student.safetensors"),
        {
            "macs_before": before,
            "macs_after": after,
            "selection_quality": record.qualities,
            "epoch_losses": record.losses,
            "summary": f"{left}, selection quality {quality:.1%}",
        },
    )


def _example(inputs: tuple[Artifact, ...], context: Context) -> Tensor:
    from edgekd.models.running import tensors

    return tensors(context.task(inputs).representative())[0].contiguous()


def _take_channels(
    module: nn.Module, example: Tensor, config: Config, inputs: tuple[Artifact, ...], context: Context
) -> None:
    from edgekd.algorithms.pruning import Wish, prune_channels
    from edgekd.models.running import tensors

    task, of = context.task(inputs), "macs" if config.macs_kept is not None else "parameters"
    kept = config.macs_kept or config.parameters_kept or 1.0
    equal = config.ratios == "equal"
    wish = Wish(kept, "macs" if of == "macs" else "parameters", config.round_to, config.importance, equal)
    rows = task.rows(context.seed).fit[:TAYLOR_ROWS]
    given = tensors(task.inputs("train", rows))[0] if config.importance == "taylor" else None
    before, after = prune_channels(module, example, wish, given)
    if after > kept * before:
        noun = "multiply-accumulates" if of == "macs" else "parameters"
        raise BadInputError(
            f"prune: {after / before:.0%} of the {noun} are left, expected at most {kept:.0%}: "
            f"no channel can go without breaking groups of {config.round_to}",
            f"lower round_to, raise {of}_kept, or use a wider student",
        )
