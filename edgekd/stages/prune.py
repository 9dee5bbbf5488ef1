"""Prune: take out what matters least until a share of the work is left, then recover by distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from edgekd.artifact import Artifact, Kind
from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.stages.base import Context
from edgekd.stages.teaching import TeachingConfig, ViewsConfig, teach
from edgekd.store import Product
from edgekd.tasks.base import MASK

if TYPE_CHECKING:
    from edgekd.stages.prune_latency import Found
    from edgekd.stages.pruning import Cutter

VERSION = 6
CONSUMES = ((Kind.TORCH,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "torch-pruning", "numpy")
READS_DATA = True
Share = Annotated[float, Field(gt=0, lt=1)]
Structures = tuple[Literal["neurons", "heads", "layers"], ...]


class StepConfig(TeachingConfig):
    """Take channels, neurons, heads or layers out, then recover by distillation (epochs and what follows are its)."""

    macs_kept: Share | None = None  # share of the multiply-accumulates that stays, at most
    parameters_kept: Share | None = None  # or of the parameters; of a transformer without its embeddings
    latency_kept: Share | None = None  # or of the latency of the float ONNX file, measured here or predicted
    round_to: Annotated[int, Field(ge=1, le=256)] = 8  # INT8 kernels work on channels in groups of 8
    importance: Literal["magnitude", "taylor", "batch-norm"] = "magnitude"  # by what it is told what matters least
    ratios: Literal["equal", "global"] = "equal"  # each layer loses the same share, or the least important anywhere
    structures: Structures | None = None  # of a transformer: neurons and heads
    compare: Literal[False, True, "keep-winner"] = False  # race it against the whole and against a small one
    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.01  # of the unpruned one's quality, in that race
    sparsity: Share | None = None  # zero this share of single weights instead
    acknowledge_no_speedup: bool = False  # says that sparsity is wanted although nothing gets faster

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        targets = ("macs_kept", "parameters_kept", "latency_kept", "sparsity")
        given = [name for name in targets if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'none of them'}, expected one of {', '.join(targets)}")
        if self.sparsity is not None and not self.acknowledge_no_speedup:
            raise ValueError(
                "found sparsity, expected macs_kept: no kernel of onnxruntime or TFLite gains from zeros among the "
                "weights; to have them all the same, say acknowledge_no_speedup = true"
            )
        return self

    @model_validator(mode="after")
    def _whole_layers(self) -> Self:
        named = ("neurons", "heads") if self.structures is None else self.structures
        if not named or len(set(named)) < len(named):
            raise ValueError(f"found structures = {list(named)}, expected one or more, each once")
        if "layers" in named and len(named) > 1 and self.ratios == "equal":
            raise ValueError(
                f"found structures = {list(named)} with equal ratios, expected ratios = 'global': a layer that goes "
                "whole loses more than the others"
            )
        return self


class Config(StepConfig, ViewsConfig):
    """The same, with the views, and by whose latency: a device that is predicted, or this machine."""

    device: Device | None = None
    machine: str = ""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Prune, recover, and keep the weights of the last epoch."""
    from edgekd.models import loading

    whole = cutter(inputs, config, context)
    if config.sparsity is not None:
        return _zeroed(whole, config.sparsity, inputs, config, context)
    found = _found(whole, config, inputs, context)
    pruned = found.pruned
    before, after = whole.macs, pruned.macs
    record, _ = teach(pruned.module, inputs[1:], config, context)
    left = f"{after / before:.0%} of {before / 1e6:.2f} M multiply-accumulates{found.said}{pruned.said}"
    return Product(
        loading.save(pruned.module, pruned.spec, context.scratch / "student.safetensors"),
        {
            "macs_before": before,
            "macs_after": after,
            **pruned.facts,
            **found.facts,
            "selection_quality": record.qualities,
            "epoch_losses": record.losses,
            "summary": f"{left}, selection quality {record.qualities[-1]:.1%}",
        },
    )


def _found(whole: Cutter, config: Config, inputs: tuple[Artifact, ...], context: Context) -> Found:
    from edgekd.stages import prune_latency

    if config.latency_kept is None:
        return prune_latency.Found(whole.cut(config), {}, "")
    return prune_latency.prune(whole, config, context.task(inputs), context)


def cutter(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Cutter:
    """What takes parts out of the first of ``inputs``: channels, or where it reads texts what a transformer has.

    Raises:
        BadInputError: a model with layers whose work isn't counted.

    """
    from edgekd.algorithms.pruning import uncounted_layers
    from edgekd.models import loading
    from edgekd.stages import prune_channels, prune_encoder

    module, spec = loading.load(inputs[0].path)
    if uncounted := uncounted_layers(module):
        raise BadInputError(
            f"prune: found {', '.join(uncounted)}, expected two-dimensional convolutions and linear layers alone: "
            "of others it isn't known how much work is left",
            "leave the stage 'prune' out",
        )
    task = context.task(inputs)
    kind = prune_encoder.Encoders if MASK in task.representative() else prune_channels.Channels
    return kind((module, spec), task, inputs, config, context)


def _zeroed(whole: Cutter, share: float, inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    from edgekd.algorithms.pruning import zero_smallest
    from edgekd.models import loading

    module, spec = whole.model
    release = zero_smallest(module, share)
    record, _ = teach(module, inputs[1:], config, context)
    release()
    return Product(
        loading.save(module, spec, context.scratch / "student.safetensors"),
        {
            "macs_before": whole.macs,
            "macs_after": whole.macs,
            "selection_quality": record.qualities,
            "epoch_losses": record.losses,
            "summary": f"{share:.0%} of the weights are zero, none is saved, "
            f"selection quality {record.qualities[-1]:.1%}",
        },
    )
