"""Text encoders and classifiers around a transformers model, in a form that both exporters take.

Attention is eager, and the mask a 4-D additive one of -100 where the model gives the same with it: the usual mask of
the smallest float leaves GATHER_ND in a TFLite file and takes the whole range of static INT8.
All dropout is 0, in training too: distillation has the teacher's outputs as its regularizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import BadInputError, MissingExtraError
from edgekd.models import quiet
from edgekd.models.families import FAMILIES
from edgekd.models.pooling import pool, refuse_unknown
from edgekd.models.shared_rows import share

MASKED = -100.0  # exp(-100) is 0 beside any attended token, and the range stays small
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "classifier_dropout_prob",
    "seq_classif_dropout",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)


class Dense(nn.Module):
    """A linear layer and an activation after it, as sentence-transformers' Dense."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, vectors: Tensor) -> Tensor:  # (B, inputs) -> (B, outputs)
        return self.activation(self.linear(vectors))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Token ids into one vector: transformers model, pooling, dense layers, head, normalisation.

    The linear ``head`` without bias comes before normalisation, so that it does to a vector what it does to the
    vector's direction. ``mask`` is '4d' or '2d': which mask the transformers model is given.
    """

    def __init__(
        self, backbone: nn.Module, parts: Sequence[nn.Module], *, pooling: str, normalize: bool, mask: str
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dense = nn.ModuleList(part for part in parts if isinstance(part, Dense))
        self.head = next((part for part in parts if isinstance(part, nn.Linear)), None)
        self.pooling = pooling
        self.normalize = normalize
        self.mask = mask

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # (B, L), (B, L) -> (B, D)
        inputs = model_inputs(self.backbone, input_ids, attention_mask, self.mask)
        vectors = pool(self.backbone(**inputs).last_hidden_state, attention_mask, self.pooling)
        for layer in self.dense:
            vectors = layer(vectors)
        if self.head is not None:
            vectors = self.head(vectors)
        return functional.normalize(vectors, dim=1) if self.normalize else vectors


class Classifier(nn.Module):
    """An encoder and one linear layer: token ids into logits."""

    def __init__(self, body: Encoder, labels: int) -> None:
        super().__init__()
        self.encoder = body
        self.classifier = nn.Linear(output_width(body), labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # (B, L), (B, L) -> (B, labels)
        return self.classifier(self.encoder(input_ids, attention_mask))  # type: ignore[no-any-return]


class SequenceClassifier(nn.Module):
    """A transformers ...ForSequenceClassification with its own head: token ids into logits."""

    def __init__(self, model: nn.Module, *, mask: str) -> None:
        super().__init__()
        self.model = model
        self.mask = mask

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # (B, L), (B, L) -> (B, labels)
        return self.model(**model_inputs(self.model, input_ids, attention_mask, self.mask)).logits  # type: ignore[no-any-return]


def model_inputs(model: nn.Module, input_ids: Tensor, attention_mask: Tensor, mask: str) -> dict[str, Tensor]:
    """Return what a transformers model is called with.

    For '4d': an additive mask (B, 1, 1, L) of 0 and -100, explicit token types, and explicit positions where the
    model would count tokens. Padding must be on the right.
    """
    if mask == "2d":
        return {"input_ids": input_ids, "attention_mask": attention_mask}
    config: Any = model.config
    known = FAMILIES[config.model_type]
    additive = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * MASKED
    inputs = {"input_ids": input_ids, "attention_mask": additive}
    if known.token_types:
        inputs["token_type_ids"] = torch.zeros_like(input_ids)
    if known.first_position:
        length = input_ids.shape[1]
        inputs["position_ids"] = torch.arange(length, device=input_ids.device)[None] + int(config.pad_token_id) + 1
    return inputs


def encoder(
    config: Mapping[str, Any],
    pooling: str = "mean",
    *,
    normalize: bool = True,
    dense: Sequence[Mapping[str, Any]] = (),
    head: int | None = None,
    **more: Any,
) -> Encoder:
    """Build an encoder with random weights: the factory 'edgekd.models.encoder:encoder'.

    ``config`` is a transformers configuration with its model_type; ``dense`` has tables of outputs, bias and
    activation; ``head`` is the width of the linear head. ``more``: ``mask`` ('4d' or '2d'; the default is '4d' where
    the family is known to take it), ``remote``, the name of the model whose own code is run, and ``rows``, how many
    rows the tokens share (:mod:`edgekd.models.shared_rows`).

    Raises:
        BadInputError: an unknown pooling, activation or mask, or a configuration that transformers refuses.

    """
    mask = _mask(config, more)
    refuse_unknown(pooling)
    backbone = _model("AutoModel", config, more)
    without_pooler(backbone)
    return Encoder(
        backbone,
        linears(int(backbone.config.hidden_size), dense, head),
        pooling=pooling,
        normalize=normalize,
        mask=mask,
    )


def classifier(labels: int, **options: Any) -> Classifier:
    """Build an encoder with one linear layer for ``labels`` classes; the other options are those of ``encoder``."""
    return Classifier(encoder(**{"normalize": False, **options}), labels)


def sequence_classifier(config: Mapping[str, Any], **more: Any) -> SequenceClassifier:
    """Build a transformers model for sequence classification with its own head; ``more`` as in ``encoder``."""
    mask = _mask(config, more)
    return SequenceClassifier(_model("AutoModelForSequenceClassification", config, more), mask=mask)


def output_width(module: nn.Module) -> int:
    """Return D of the vectors, or the number of logits."""
    if isinstance(module, SequenceClassifier):
        return int(module.model.config.num_labels)  # type: ignore[union-attr,arg-type]
    if isinstance(module, Classifier):
        return module.classifier.out_features
    if not isinstance(module, Encoder):
        raise BadInputError(f"found a {type(module).__name__}, expected a text encoder or classifier")
    linears = [*(layer.linear for layer in module.dense), *([module.head] if module.head is not None else [])]
    return int(linears[-1].out_features if linears else module.backbone.config.hidden_size)  # type: ignore[union-attr,arg-type]


def plain_config(config: Any) -> dict[str, Any]:
    """Return a transformers configuration as JSON values, without what is about a folder, and without dropout."""
    found = config.to_diff_dict()
    for key in ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "auto_map"):
        found.pop(key, None)
    return {**found, **{key: 0.0 for key in DROPOUTS if isinstance(getattr(config, key, None), float)}}


def default_mask(config: Mapping[str, Any]) -> str:
    """Return '4d' for the families that take an additive mask as it is, else '2d'."""
    return "4d" if config.get("model_type") in FAMILIES else "2d"


def without_pooler(backbone: Any) -> None:
    """Drop the layer behind the first token, whose output no encoder here reads."""
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None


@contextlib.contextmanager
def transformers() -> Iterator[Any]:
    """Import transformers, and keep it from writing anything while the block runs.

    Raises:
        MissingExtraError: it isn't installed.

    """
    with quiet.frameworks():
        try:
            import transformers as library
        except ImportError:
            raise MissingExtraError("transformers", "build", "a text encoder") from None
        logging: Any = library.utils.logging
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield library
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()


def _model(kind: str, config: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    made = _built(kind, config, more.get("remote"))
    share(made, more.get("rows"))
    return made


def _built(kind: str, config: Mapping[str, Any], remote: str | None) -> Any:
    with transformers() as library:
        try:
            if remote is None:
                made = library.AutoConfig.for_model(**config)
                return getattr(library, kind).from_config(made, attn_implementation="eager").float()
            made = library.AutoConfig.from_pretrained(remote, trust_remote_code=True)
            made.update(dict(config))
            return getattr(library, kind).from_config(made, trust_remote_code=True).float()
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise BadInputError(
                f"transformers refused the configuration of a {config.get('model_type')!r} model: {error}"
            ) from error


def linears(width: int, dense: Sequence[Mapping[str, Any]], head: int | None) -> list[nn.Module]:
    """Return the layers behind pooling with random weights: the dense ones, then the head.

    Raises:
        BadInputError: an unknown activation.

    """
    layers: list[nn.Module] = []
    for table in dense:
        if table["activation"] not in ACTIVATIONS:
            raise BadInputError(
                f"dense: found activation {table['activation']!r}, expected one of {', '.join(sorted(ACTIVATIONS))}"
            )
        outputs = int(table["outputs"])
        layers.append(Dense(width, outputs, bias=bool(table["bias"]), activation=table["activation"]))
        width = outputs
    return [*layers, *([] if head is None else [nn.Linear(width, head, bias=False)])]


def _mask(config: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    unknown = set(more) - {"mask", "remote", "rows"}
    mask = more.get("mask") or default_mask(config)
    if unknown or mask not in ("2d", "4d") or (mask == "4d" and default_mask(config) == "2d"):
        raise BadInputError(
            f"found the options {dict(more)} for a {config.get('model_type')!r} encoder, expected mask = '2d', "
            f"or '4d' for {', '.join(sorted(FAMILIES))}, remote and rows"
        )
    return mask
