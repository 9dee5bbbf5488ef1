"""Channels of convolutions that go."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from edgekd.algorithms.pruning import Wish, multiply_accumulates, prune_channels
from edgekd.models.running import tensors
from edgekd.stages.pruning import TAYLOR_ROWS, Pruned, refuse_too_many, target

if TYPE_CHECKING:
    from torch import nn

    from edgekd.artifact import Artifact
    from edgekd.models.loading import ModelSpec
    from edgekd.stages.base import Context
    from edgekd.stages.prune import Config
    from edgekd.tasks.base import Task


class Channels:
    """Whole channels, along the dependency graph of a network."""

    def __init__(
        self,
        model: tuple[nn.Module, ModelSpec],
        task: Task,
        _inputs: tuple[Artifact, ...],
        config: Config,
        context: Context,
    ) -> None:
        self.model = model
        self.example = tensors(task.representative())[0].contiguous()
        self.macs = multiply_accumulates(model[0], self.example)
        rows = task.rows(context.seed).fit[:TAYLOR_ROWS]
        self._rows = tensors(task.inputs("train", rows))[0] if config.importance == "taylor" else None

    def cut(self, config: Config) -> Pruned:
        """Take the least important channels out."""
        (kept, of), equal = target(config), config.ratios == "equal"
        wish = Wish(kept, of, config.round_to, config.importance, equal)
        module = copy.deepcopy(self.model[0])
        before, after = prune_channels(module, self.example, wish, self._rows)
        reason = f"no channel can go without breaking groups of {config.round_to}"
        refuse_too_many(before, after, config, reason, "lower round_to, ")
        return Pruned(module, self.model[1], multiply_accumulates(module, self.example))
