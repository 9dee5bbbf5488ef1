"""The layers, heads and neurons of a transformer encoder, and how much each of them matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgekd.algorithms.losses.recorder import Recorder
from edgekd.algorithms.structures import gate_effect
from edgekd.models import widths
from edgekd.models.alignment import seen_by
from edgekd.models.families import Family, backbone_of, family, layer_names


@dataclass(frozen=True, slots=True)
class Importance:
    """How much the parts of one layer matter, and the layer itself: neurons (F,), heads (heads,)."""

    neurons: Tensor
    heads: Tensor
    layer: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What a network has: for each of the layers that are left its old number, its heads and its neurons."""

    layers: tuple[int, ...]
    heads: tuple[int, ...]
    neurons: tuple[int, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return {"layers": len(self.layers), "heads": sum(self.heads), "neurons": sum(self.neurons)}


class Parts:
    """The layers of an encoder with their weights, by name."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.prefix, self.backbone = backbone_of(module)
        self.known: Family = family(str(self.backbone.config.model_type), "prune")
        self.names = layer_names(module)
        sizes = (int(getattr(self.backbone.config, self.known.sizes[size])) for size in ("hidden", "heads"))
        self.head_width = next(sizes) // next(sizes)

    def linear(self, layer: int, part: str) -> nn.Linear:
        """Return a linear layer of a transformer layer."""
        found = self.module.get_submodule(f"{self.names[layer]}.{part}")
        if not isinstance(found, nn.Linear):
            raise TypeError(f"{part}: found {type(found).__name__}, expected Linear")
        return found

    def readers(self) -> list[nn.Linear]:
        """For each layer what reads the heads, then for each what reads the neurons."""
        return [self.linear(layer, part) for part in (self.known.mixed, self.known.down) for layer in self.numbers]

    @property
    def numbers(self) -> range:
        """Of the layers."""
        return range(len(self.names))

    def shape(self, layers: Sequence[int] | None = None) -> Shape:
        """How many heads and neurons each layer has; ``layers`` are their old numbers."""
        readers = self.readers()
        heads, neurons = readers[: len(self.names)], readers[len(self.names) :]
        return Shape(
            tuple(self.numbers if layers is None else layers),
            tuple(each.in_features // self.head_width for each in heads),
            tuple(each.in_features for each in neurons),
        )


def by_magnitude(module: nn.Module) -> list[Importance]:
    """Importance by the weights alone: the Frobenius norm of the linear map from what is read to what is written.

    That is ||up_i|| ||down_i|| for a neuron and ||O_h V_h|| for a head; a layer has the sum over its parts.
    """
    parts, found = Parts(module), []
    value = parts.known.query_key_value[2]
    for layer in parts.numbers:
        mixed = parts.linear(layer, parts.known.mixed).weight.detach()
        count = mixed.shape[1] // parts.head_width
        heads = widths.head_importance(parts.linear(layer, value).weight.detach(), mixed, count).sqrt()
        up, down = (parts.linear(layer, part).weight.detach() for part in (parts.known.up, parts.known.down))
        neurons = widths.neuron_importance(up, down)
        found.append(Importance(neurons, heads, float(heads.sum() + neurons.sum())))
    return found


def by_taylor(module: nn.Module, losses: Iterable[Tensor]) -> list[Importance]:
    """Importance by first-order Taylor: what each of the ``losses`` would change, to first order, without a part.

    ``losses`` are computed while they are iterated over, each from one run of ``module`` on a batch of texts; the
    effects are taken text by text and summed (:func:`edgekd.algorithms.structures.gate_effect`). A layer without
    which the states stay as they came has |sum (x_out - x_in) dL/dx_out|.
    """
    parts = Parts(module)
    names = (".".join(filter(None, (parts.prefix, "embeddings"))), *parts.names)
    count, totals = len(parts.names), list[Tensor]()
    with seen_by(*parts.readers()) as given, Recorder(module, names) as recorder:
        for loss in losses:
            states = [recorder.states[name] for name in names]
            wanted = [*given, *states[1:]]
            gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
            changes = [*given, *(after - before for before, after in pairwise(states))]
            groups = [parts.head_width] * count + [1] * count + [states[0].shape[2]] * count
            pairs = zip(changes, gradients, groups, strict=True)
            effects = [gate_effect(change.detach(), gradient, width).sum(0) for change, gradient, width in pairs]
            totals = [sum(each) for each in zip(totals, effects, strict=True)] if totals else effects  # type: ignore[misc]
    return [Importance(totals[count + n], totals[n], float(totals[2 * count + n])) for n in range(count)]
