"""Structured pruning of a transformer encoder: feed-forward neurons, attention heads, whole layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edgekd.algorithms.pruning import multiply_accumulates
from edgekd.algorithms.structures import Kind, Structure, grouped, least_important, levelled
from edgekd.errors import BadInputError
from edgekd.models import loading, widths
from edgekd.models.encoder_parts import Importance, Parts, Shape
from edgekd.models.loading import ModelSpec
from edgekd.models.smaller import keep_layers, refuse_shared_bias

Example = tuple[Tensor, Tensor]  # token ids and mask (1, L)
KINDS: tuple[Kind, ...] = ("neurons", "heads")
OURS = "edgekd.models.encoder:"  # builds as many layers as its options say


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be left, at most: a share of the multiply-accumulates or of the parameters, embeddings apart.

    ``structures`` says what may go. With ``equal_shares`` all layers lose the same share of their neurons and heads.
    """

    kept: float
    of: Literal["macs", "parameters"] = "macs"
    structures: tuple[Kind, ...] = KINDS
    round_to: int = 8  # neurons
    equal_shares: bool = True

    def count(self, module: nn.Module, example: Example) -> int:
        """What ``kept`` is a share of."""
        return work(module, example) if self.of == "macs" else parameters(module)


def work(module: nn.Module, example: Example) -> int:
    """Multiply-accumulates of one text: of the linear layers, and of queries with keys and weights with values."""
    parts = Parts(module)
    length = example[0].shape[1]
    return multiply_accumulates(module, *example) + sum(parts.shape().heads) * parts.head_width * 2 * length**2


def parameters(module: nn.Module) -> int:
    """All but the embeddings', which a text of any length only looks up."""
    embeddings = sum(each.weight.numel() for each in module.modules() if isinstance(each, nn.Embedding))
    return sum(each.numel() for each in module.parameters()) - embeddings


def prune(
    model: tuple[nn.Module, ModelSpec], example: Example, wish: Wish, importance: Sequence[Importance], *, level: bool
) -> tuple[nn.Module, ModelSpec, Shape]:
    """Return the network without its least important parts, with what is left of each layer; the old one stays.

    The importances of neurons, heads and layers are compared as they are, or with ``level`` only within each kind.

    Raises:
        BadInputError: a family that isn't known, or structures of it that can't go.

    """
    module, spec = model
    parts, before = Parts(module), wish.count(module, example)
    _refuse(parts, spec, wish)
    structures = [each for layer in parts.numbers for each in _structures(parts, layer, example, wish, importance)]
    comparable = levelled(structures) if level else structures
    gone = least_important(comparable, before * (1 - wish.kept), equal=wish.equal_shares)
    layers = [layer for layer in parts.numbers if not any(g.kind == "layers" and g.layer == layer for g in gone)]
    made, options = _without(parts, spec, [each for each in gone if each.layer in layers], layers)
    return made, options, Parts(made).shape(layers)


def _refuse(parts: Parts, spec: ModelSpec, wish: Wish) -> None:
    if "heads" in wish.structures:
        refuse_shared_bias(parts.known)
    if "layers" in wish.structures and not spec.factory.startswith(OURS):
        raise BadInputError(
            f"prune: found structures with layers and the model {spec.factory}, which makes its layers itself, "
            "expected neurons and heads",
            "leave layers out of structures",
        )


def _structures(
    parts: Parts, layer: int, example: Example, wish: Wish, importance: Sequence[Importance]
) -> Iterator[Structure]:
    """What may go of one layer, with what it costs."""
    found, cost = importance[layer], _costs(parts, layer, None if wish.of == "parameters" else example[0].shape[1])
    groups: dict[Kind, tuple[Tensor, int]] = {"neurons": (found.neurons, wish.round_to), "heads": (found.heads, 1)}
    for kind in KINDS:
        values, size = groups[kind]
        for members in grouped(values.numpy(), size) if kind in wish.structures else ():
            yield Structure(kind, layer, members, float(values[list(members)].sum()), cost[kind] * len(members))
    if "layers" in wish.structures:
        yield Structure("layers", layer, (), found.layer, cost["layers"])


def _costs(parts: Parts, layer: int, length: int | None) -> dict[Kind, int]:
    """Of one neuron, one head, and the layer: multiply-accumulates for a text of so many tokens, or parameters."""
    hidden, width, shape = parts.linear(layer, parts.known.up).in_features, parts.head_width, parts.shape()
    if length is None:
        whole = sum(each.numel() for each in parts.module.get_submodule(parts.names[layer]).parameters())
        return {"neurons": 2 * hidden + 1, "heads": width * (4 * hidden + 3), "layers": whole}
    neuron, head = 2 * hidden * length, width * (4 * hidden * length + 2 * length**2)
    return {"neurons": neuron, "heads": head, "layers": neuron * shape.neurons[layer] + head * shape.heads[layer]}


def _without(
    parts: Parts, spec: ModelSpec, gone: Sequence[Structure], layers: Sequence[int]
) -> tuple[nn.Module, ModelSpec]:
    """Build the module again with what is left of the weights."""
    state = {key: value.detach().clone() for key, value in parts.module.state_dict().items()}
    prefix = f"{parts.prefix}." if parts.prefix else ""
    view = widths.Layers(state, prefix, parts.known, len(parts.names))
    shape = parts.shape()
    for layer in layers:
        members = {kind: {n for g in gone if (g.kind, g.layer) == (kind, layer) for n in g.members} for kind in KINDS}
        widths.keep_neurons(view, layer, _others(shape.neurons[layer], members["neurons"]))
        widths.keep_heads(view, layer, _others(shape.heads[layer], members["heads"]), parts.head_width)
    keep_layers(state, f"{prefix}{parts.known.layers}.", tuple(layers))
    made = _told(spec, view, len(layers))
    module = loading.build(made, "[student]")
    loading.fit_shapes(module, state)
    return loading.load_into(module, state, "[student]").eval(), made


def _others(count: int, gone: set[int]) -> Tensor:
    return torch.tensor([number for number in range(count) if number not in gone])


def _told(spec: ModelSpec, view: widths.Layers, layers: int) -> ModelSpec:
    """The model's options with what the configuration says of layers and neurons."""
    if not spec.factory.startswith(OURS):
        return spec
    known = view.known
    widest = max(len(view.weight(layer, known.up)) for layer in range(layers))
    sizes = {known.sizes["layers"]: layers, known.sizes["feed_forward"]: widest}
    return ModelSpec(spec.factory, {**spec.options, "config": {**spec.options["config"], **sizes}})
