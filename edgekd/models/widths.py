"""Which heads, neurons and channels of a transformer encoder matter most, by its weights, and tensors cut to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekd.models.families import Family

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Layers:
    """The weights of a backbone, with the names that its family gives them.

    ``prefix`` is what the backbone's own tensors begin with, such as 'backbone.'.
    """

    state: State
    prefix: str
    known: Family
    count: int

    def name(self, layer: int, part: str) -> str:
        """Return the dotted name of a part of a layer."""
        return f"{self.prefix}{self.known.layers}.{layer}.{part}"

    def weight(self, layer: int, part: str) -> Tensor:
        """Return its weight."""
        return self.state[f"{self.name(layer, part)}.weight"]


def strongest(importance: Tensor, count: int) -> Tensor:
    """Return the indices of the ``count`` largest values, in rising order; of equal ones the first.

    >>> strongest(torch.tensor([0.1, 3.0, 3.0, 2.0]), 2).tolist()
    [1, 2]
    """
    kept: Tensor = torch.sort(torch.argsort(importance, descending=True, stable=True)[:count]).values
    return kept


def neuron_importance(up: Tensor, down: Tensor) -> Tensor:
    """Return ||row i of up|| * ||column i of down|| for each neuron of a feed-forward block: (F,).

    ``up`` (F, H) and ``down`` (H, F). The size of what a neuron reads times the size of what it writes.

    >>> neuron_importance(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()
    [5.0, 2.0]
    """
    read, written = torch.linalg.vector_norm(up, dim=1), torch.linalg.vector_norm(down, dim=0)
    product: Tensor = read * written
    return product


def head_importance(value: Tensor, mixed: Tensor, heads: int) -> Tensor:
    """Return ||O_h V_h||_F^2 for each head: (heads,), how much a head writes of what it reads.

    ``value`` (H, H) has a head's rows together, ``mixed`` (H, H) its columns.

    >>> head_importance(torch.eye(4), torch.diag(torch.tensor([1.0, 1.0, 0.0, 3.0])), 2).tolist()
    [2.0, 9.0]
    """
    rows = value.reshape(heads, -1, value.shape[1])
    columns = mixed.reshape(mixed.shape[0], heads, -1).transpose(0, 1)
    return (columns @ rows).square().sum((1, 2))


def channel_importance(layers: Layers) -> Tensor:
    """Return sum over readers of (gamma_c^2 + beta_c^2) * ||column c||^2 for each residual channel c: (H,).

    Readers are query, key, value and the feed-forward block's first layer, each behind a LayerNorm of scale gamma and
    shift beta: the first factor is the mean square of the channel's activation where its input is standardized.
    """
    total = torch.zeros_like(layers.state[f"{layers.prefix}embeddings.LayerNorm.weight"])
    norm = f"{layers.prefix}embeddings.LayerNorm"
    for layer in range(layers.count):
        for reader in layers.known.query_key_value:
            total += _square(layers.state, norm) * layers.weight(layer, reader).square().sum(0)
        after_attention, after_feed_forward = (layers.name(layer, part) for part in layers.known.norms)
        total += _square(layers.state, after_attention) * layers.weight(layer, layers.known.up).square().sum(0)
        norm = after_feed_forward
    return total


def _square(state: State, norm: str) -> Tensor:
    return state[f"{norm}.weight"].square() + state[f"{norm}.bias"].square()


def cut_feed_forward(layers: Layers, counts: Sequence[int]) -> None:
    """Keep the most important neurons of each layer, as many as ``counts`` says."""
    for layer, count in enumerate(counts):
        importance = neuron_importance(*(layers.weight(layer, part) for part in (layers.known.up, layers.known.down)))
        keep_neurons(layers, layer, strongest(importance, count))


def keep_neurons(layers: Layers, layer: int, kept: Tensor) -> None:
    """Keep these neurons of one layer."""
    cut_outputs(layers.state, layers.name(layer, layers.known.up), kept)
    cut_inputs(layers.state, layers.name(layer, layers.known.down), kept)


def cut_heads(layers: Layers, counts: Sequence[int], heads: int) -> None:
    """Keep the most important of the ``heads`` of each layer, as many as ``counts`` says; their width stays."""
    value = layers.known.query_key_value[2]
    for layer, count in enumerate(counts):
        importance = head_importance(layers.weight(layer, value), layers.weight(layer, layers.known.mixed), heads)
        keep_heads(layers, layer, strongest(importance, count), len(layers.weight(layer, value)) // heads)


def keep_heads(layers: Layers, layer: int, kept: Tensor, width: int) -> None:
    """Keep these heads of one layer, each ``width`` channels wide."""
    inner = _inside(kept, width)
    for part in layers.known.query_key_value:
        cut_outputs(layers.state, layers.name(layer, part), inner)
    cut_inputs(layers.state, layers.name(layer, layers.known.mixed), inner)


def _inside(heads: Tensor, width: int) -> Tensor:
    """The rows that belong to ``heads``."""
    return (heads[:, None] * width + torch.arange(width)).flatten()


def cut_hidden(layers: Layers, count: int, heads: int) -> Tensor:
    """Keep ``count`` residual channels and as many of the ``heads`` as fill them; return the channels kept.

    The width of a head stays. Where all layers share one bias for each head (MPNet), they keep the same heads.
    """
    importance = channel_importance(layers)
    channels, head_width = strongest(importance, count), len(importance) // heads
    kept = _kept_heads(layers, heads, count // head_width)
    for layer in range(layers.count):
        _cut_layer(layers, layer, channels, _inside(kept[layer], head_width))
    for key in [key for key in layers.state if key.startswith(f"{layers.prefix}embeddings.")]:
        layers.state[key] = layers.state[key][..., channels]
    if layers.known.head_bias:
        cut_inputs(layers.state, f"{layers.prefix}{layers.known.head_bias}", kept[0])
    return channels


def _kept_heads(layers: Layers, heads: int, count: int) -> list[Tensor]:
    value = layers.known.query_key_value[2]
    importance = [
        head_importance(layers.weight(layer, value), layers.weight(layer, layers.known.mixed), heads)
        for layer in range(layers.count)
    ]
    if layers.known.head_bias:
        importance = [torch.stack(importance).sum(0)] * layers.count
    return [strongest(each, count) for each in importance]


def _cut_layer(layers: Layers, layer: int, channels: Tensor, inner: Tensor) -> None:
    state = layers.state
    for part in layers.known.query_key_value:
        cut_outputs(state, layers.name(layer, part), inner)
        cut_inputs(state, layers.name(layer, part), channels)
    cut_outputs(state, layers.name(layer, layers.known.mixed), channels)
    cut_inputs(state, layers.name(layer, layers.known.mixed), inner)
    cut_inputs(state, layers.name(layer, layers.known.up), channels)
    cut_outputs(state, layers.name(layer, layers.known.down), channels)
    for norm in layers.known.norms:
        cut_outputs(state, layers.name(layer, norm), channels)


def cut_outputs(state: State, name: str, kept: Tensor) -> None:
    """Keep the outputs ``kept`` of a linear layer, or the channels of a normalisation."""
    for key in (f"{name}.weight", f"{name}.bias"):
        if key in state:
            state[key] = state[key][kept]


def cut_inputs(state: State, name: str, kept: Tensor) -> None:
    """Keep the inputs ``kept`` of a linear layer."""
    state[f"{name}.weight"] = state[f"{name}.weight"][:, kept]
