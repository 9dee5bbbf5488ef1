"""Neurons, heads and layers of a transformer that go."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

from edgekd import processes
from edgekd.errors import BadInputError
from edgekd.models.encoder_parts import Importance, Parts, Shape, by_magnitude, by_taylor
from edgekd.models.encoder_pruning import KINDS, Wish, prune, work
from edgekd.models.running import tensors
from edgekd.stages.pruning import TAYLOR_ROWS, Pruned, refuse_too_many, target
from edgekd.stages.teaching import losses_of

if TYPE_CHECKING:
    from torch import nn

    from edgekd.artifact import Artifact
    from edgekd.models.loading import ModelSpec
    from edgekd.stages.base import Context
    from edgekd.stages.prune import Config
    from edgekd.tasks.base import Task


class Encoders:
    """Parts of a text encoder; its work is that for a text as long as the limit."""

    def __init__(
        self,
        model: tuple[nn.Module, ModelSpec],
        task: Task,
        inputs: tuple[Artifact, ...],
        config: Config,
        context: Context,
    ) -> None:
        if config.importance == "batch-norm":
            raise BadInputError(
                "prune: found importance = 'batch-norm' with a transformer, expected magnitude or taylor: "
                "it has no batch normalisation"
            )
        ids, mask = tensors(task.representative())
        self.model, self.example = model, (ids, mask)
        self.macs = work(model[0], self.example)
        self._inputs, self._config, self._context = inputs, config, context

    @cached_property
    def _importance(self) -> list[Importance]:
        """By the weights, or by the losses of the training that follows."""
        if self._config.importance == "magnitude":
            return by_magnitude(self.model[0])
        losses = losses_of(self.model[0], self._inputs[1:], self._config, self._context, TAYLOR_ROWS)
        return [_of_all(each) for each in by_taylor(self.model[0], losses)]

    def cut(self, config: Config) -> Pruned:
        """Take the least important parts out."""
        kept, of = target(config)
        wish = Wish(
            kept,
            of,
            config.structures or KINDS,
            config.round_to,
            config.ratios == "equal",
        )
        shape = Parts(self.model[0]).shape()
        level = config.importance == "magnitude"
        module, spec, left = prune(self.model, self.example, wish, self._importance, level=level)
        before, after = (wish.count(each, self.example) for each in (self.model[0], module))
        reason = f"of {', '.join(wish.structures)} no more can go"
        refuse_too_many(before, after, config, reason, "name more structures, ")
        facts = {"structures": asdict(left), "structures_before": shape.counts, "structures_after": left.counts}
        return Pruned(module, spec, work(module, self.example), facts, f" ({_counts(shape, left)})")


def _of_all(found: Importance) -> Importance:
    """The sum over all processes, each of which saw its own texts."""
    import torch

    layer = torch.tensor([found.layer])
    neurons, heads, whole = (processes.gather(each[None]).sum(0) for each in (found.neurons, found.heads, layer))
    return Importance(neurons, heads, float(whole))


def _counts(before: Shape, after: Shape) -> str:
    """Such as '9 of 12 heads, 480 of 640 neurons'."""
    pairs = [(after.counts[kind], before.counts[kind], kind) for kind in before.counts]
    return ", ".join(f"{left:,} of {all_:,} {kind}" for left, all_, kind in pairs if left != all_)
