"""Any transformers or sentence-transformers model as a module that edgekd can save, load, export and cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from edgekd.data.tokens import Tokenizer
from edgekd.errors import BadInputError
from edgekd.models import encoder as encoders
from edgekd.models import encoder_folder
from edgekd.models.encoder import Classifier, Encoder, SequenceClassifier
from edgekd.models.encoder_folder import EncoderFacts
from edgekd.models.loading import ModelSpec

FACTORY = "edgekd.models.encoder:encoder"
CLASSIFIER = "edgekd.models.encoder:classifier"
SEQUENCE_CLASSIFIER = "edgekd.models.encoder:sequence_classifier"
SAME = 1e-4  # the most that an output may change by the 4-D mask
PROBE_TOKENS = 160


def from_folder(
    name: str | Path,
    *,
    labels: int | None = None,
    pooling: str | None = None,
    normalize: bool | None = None,
    trust_remote_code: bool = False,
) -> tuple[nn.Module, ModelSpec, Tokenizer]:
    """Load the model called ``name`` (see ``encoder_folder.find``), in evaluation mode and float32.

    A checkpoint with a classification head becomes a SequenceClassifier. With ``labels`` an encoder gets a new linear
    head of zeros, to be trained. ``pooling`` and ``normalize`` replace what the model's own files say. The module is
    compared with the plain transformers model on random ids with padding, and takes the 2-D mask if the 4-D one
    changes an output by more than 1e-4.

    Raises:
        BadInputError: no such model, code that isn't trusted, a head for another number of labels, or weights that
            are missing.

    """
    facts = encoder_folder.check(name, trust_remote_code=trust_remote_code)
    facts = replace(facts, folder=encoder_folder.find(name))
    tokenizer = Tokenizer.from_folder(facts.folder)
    if facts.labels:
        module, spec = _sequence_classifier(facts, labels)
    else:
        chosen = facts if pooling is None else replace(facts, pooling=pooling)
        module, spec = _encoder(chosen if normalize is None else replace(chosen, normalize=normalize))
    if labels is not None and isinstance(module, Encoder):
        module, spec = with_classes(module, spec, labels)
    return module.eval(), spec, tokenizer


def with_classes(module: Encoder, spec: ModelSpec, labels: int) -> tuple[Classifier, ModelSpec]:
    """Put a linear layer of zeros for ``labels`` classes behind an encoder: every class starts equally likely."""
    made = Classifier(module, labels)
    nn.init.zeros_(made.classifier.weight)
    nn.init.zeros_(made.classifier.bias)
    return made, ModelSpec(CLASSIFIER, {**spec.options, "labels": labels})


def _encoder(facts: EncoderFacts) -> tuple[nn.Module, ModelSpec]:
    backbone = _pretrained(facts, "AutoModel")
    encoders.without_pooler(backbone)
    tables = [{key: value for key, value in table.items() if key != "folder"} for table in facts.dense]
    options = {
        **_common(facts, backbone),
        "pooling": facts.pooling,
        "normalize": facts.normalize,
        "dense": tables,
        "head": None,
    }
    parts = encoders.linears(facts.hidden, tables, None)
    for table, part in zip(facts.dense, parts, strict=True):
        part.load_state_dict(_dense_weights(facts.folder / table["folder"]))
    module = Encoder(backbone, parts, pooling=facts.pooling, normalize=facts.normalize, mask=options["mask"])
    return module, ModelSpec(FACTORY, _with_checked_mask(module, options))


def _sequence_classifier(facts: EncoderFacts, labels: int | None) -> tuple[nn.Module, ModelSpec]:
    if labels not in (None, len(facts.labels)):
        raise BadInputError(
            f"found {facts.folder}, whose head knows {len(facts.labels)} labels, expected {labels}",
            "use a model for these labels, or one without a head, which gets a new one",
        )
    model = _pretrained(facts, "AutoModelForSequenceClassification")
    options = _common(facts, model)
    module = SequenceClassifier(model, mask=options["mask"])
    return module, ModelSpec(SEQUENCE_CLASSIFIER, _with_checked_mask(module, options))


def _common(facts: EncoderFacts, model: Any) -> dict[str, Any]:
    config = encoders.plain_config(model.config)
    if facts.remote_code:  # its classes exist in that folder alone
        return {"config": config, "mask": "2d", "remote": str(facts.folder.resolve())}
    return {"config": config, "mask": encoders.default_mask(config)}


def _pretrained(facts: EncoderFacts, kind: str) -> Any:
    """The transformers model with its weights, without dropout."""
    from edgekd.data.tokenizer_folder import transformer_folder

    root, how = str(transformer_folder(facts.folder)), {"trust_remote_code": facts.remote_code}
    if not facts.remote_code:
        how["attn_implementation"] = "eager"  # type: ignore[assignment]
    with encoders.transformers() as library:
        try:
            config = library.AutoConfig.from_pretrained(root, trust_remote_code=facts.remote_code)
            for key in encoders.DROPOUTS:
                if isinstance(getattr(config, key, None), float):
                    setattr(config, key, 0.0)
            model, told = getattr(library, kind).from_pretrained(root, config=config, output_loading_info=True, **how)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInputError(f"transformers can't load {root}: {reason}") from error
    missing = [key for key in told["missing_keys"] if "pooler" not in key and "position_ids" not in key]
    if missing:
        raise BadInputError(
            f"found no weights for {', '.join(sorted(missing)[:3])} and {max(0, len(missing) - 3)} more in {root}",
            "they would be random; use a checkpoint that has them",
        )
    return model.float().eval()


def _dense_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    if path.is_file():
        return load_file(path)
    pickled = folder / "pytorch_model.bin"
    if not pickled.is_file():
        raise BadInputError(f"found no model.safetensors in {folder}, expected the weights of a Dense layer")
    weights: dict[str, Tensor] = torch.load(pickled, weights_only=True, map_location="cpu")
    return weights


def _with_checked_mask(module: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return ``options`` with the mask that leaves the outputs as they are, and set it in ``module``."""
    module.eval()
    if options["mask"] == "4d":
        ids, mask = _probe(options["config"])
        with torch.no_grad():
            ours = module(ids, mask)
            module.mask = "2d"
            plain = module(ids, mask)
        module.mask = "4d" if torch.allclose(ours, plain, rtol=0, atol=SAME * float(plain.abs().max())) else "2d"
    return {**options, "mask": module.mask}


def _probe(config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Random ids with three lengths of padding; no id is the padding's, from which some models count positions."""
    length = min(PROBE_TOKENS, int(config["max_position_embeddings"]) - 4)
    pad = int(config.get("pad_token_id") or 0)
    ids = torch.randint(0, int(config["vocab_size"]), (3, length), generator=torch.Generator().manual_seed(0))
    ids = torch.where(ids == pad, (pad + 1) % int(config["vocab_size"]), ids)
    mask = (torch.arange(length) < torch.tensor([[length], [length // 2], [3]])).long()
    return torch.where(mask == 1, ids, pad), mask
