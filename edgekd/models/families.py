"""Where each family of transformer encoders keeps its layers, and what its configuration calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgekd.errors import BadInputError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Family:
    """Names inside one kind of encoder; modules are named from the backbone, then from a layer."""

    layers: str  # the list of transformer layers
    attention: str  # in a layer: the module that makes attention probabilities
    query_key_value: tuple[str, str, str]
    mixed: str  # the linear layer after the heads
    up: str  # the feed-forward block's first linear layer
    down: str  # and its second
    norms: tuple[str, str]  # after attention, after feed-forward
    sizes: Mapping[str, str]  # what config.json calls hidden, feed_forward, heads, layers
    token_types: bool = False  # whether it takes token_type_ids
    first_position: int = 0  # above 0, positions are counted from the padding id + 1
    head_bias: str = ""  # an embedding with one column for each head, shared by all layers


_BERT_SIZES = {
    "hidden": "hidden_size",
    "feed_forward": "intermediate_size",
    "heads": "num_attention_heads",
    "layers": "num_hidden_layers",
}
_BERT = Family(
    layers="encoder.layer",
    attention="attention.self",
    query_key_value=("attention.self.query", "attention.self.key", "attention.self.value"),
    mixed="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
    sizes=_BERT_SIZES,
    token_types=True,
)
_ROBERTA = replace(_BERT, first_position=2)
FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": Family(
        layers="transformer.layer",
        attention="attention",
        query_key_value=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        mixed="attention.out_lin",
        up="ffn.lin1",
        down="ffn.lin2",
        norms=("sa_layer_norm", "output_layer_norm"),
        sizes={"hidden": "dim", "feed_forward": "hidden_dim", "heads": "n_heads", "layers": "n_layers"},
    ),
    "mpnet": Family(
        layers="encoder.layer",
        attention="attention.attn",
        query_key_value=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        mixed="attention.attn.o",
        up="intermediate.dense",
        down="output.dense",
        norms=("attention.LayerNorm", "output.LayerNorm"),
        sizes=_BERT_SIZES,
        first_position=2,
        head_bias="encoder.relative_attention_bias",
    ),
}


def family(model_type: str, wanted_for: str) -> Family:
    """Return the family of ``model_type``.

    >>> family("distilbert", "a student").up
    'ffn.lin1'

    Raises:
        BadInputError: a kind of model whose layers edgekd doesn't know by name.

    """
    if model_type not in FAMILIES:
        raise BadInputError(
            f"{wanted_for}: found a model of type {model_type!r}, expected one whose layers are known by name: "
            f"{', '.join(sorted(FAMILIES))}",
            "give the student as a model of its own",
        )
    return FAMILIES[model_type]


def backbone_of(module: nn.Module) -> tuple[str, Any]:
    """Return the transformers model without a head inside ``module``, with its dotted name.

    Raises:
        BadInputError: there is none.

    """
    for name, part in module.named_modules():
        own = getattr(part, "base_model", None)
        if own is not None:
            inner = next(inside for inside, found in part.named_modules() if found is own)
            return ".".join(filter(None, (name, inner))), own
    raise BadInputError(
        f"found a {type(module).__name__} without a transformers model in it, expected a text encoder",
        "losses on layers and students made of layers need a transformers model",
    )


def layer_names(module: nn.Module) -> tuple[str, ...]:
    """Return the dotted names of the transformer layers of ``module``, first layer first.

    Such as 'backbone.encoder.layer.0'; a hook on one sees its output states (B, L, hidden).

    Raises:
        BadInputError: no transformers model, or a family that isn't known.

    """
    name, backbone = backbone_of(module)
    layers = family(backbone.config.model_type, "losses on layers").layers
    return tuple(f"{name}.{layers}.{index}" for index in range(len(backbone.get_submodule(layers))))


def attention_of(module: nn.Module, layer: int) -> nn.Module:
    """Return the module of ``layer`` (0 is the first) that makes attention probabilities.

    Of BERT, RoBERTa and DistilBERT it returns (mixed values, probabilities (B, heads, L, L)); MPNet's gives the
    probabilities only where it is asked for output_attentions.
    """
    return module.get_submodule(f"{_layer(module, layer)}.{_family_of(module).attention}")


def query_key_value_of(module: nn.Module, layer: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return the three linear layers of ``layer`` whose outputs (B, L, heads * head width) are q, k and v."""
    query, key, value = (
        module.get_submodule(f"{_layer(module, layer)}.{name}") for name in _family_of(module).query_key_value
    )
    return query, key, value


def _family_of(module: nn.Module) -> Family:
    return family(backbone_of(module)[1].config.model_type, "losses on layers")


def _layer(module: nn.Module, layer: int) -> str:
    names = layer_names(module)
    if not -len(names) <= layer < len(names):
        raise BadInputError(f"found layer {layer}, expected 0 to {len(names) - 1}: the model has {len(names)} layers")
    return names[layer]
