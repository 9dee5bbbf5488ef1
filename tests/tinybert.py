"""Tiny transformers models with a tokenizer, saved as sentence-transformers and transformers save theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as Library
from tokenizers import models, normalizers, pre_tokenizers, processors

from edgekd.models.encoder import transformers

WORDS = ("the", "cat", "sat", "on", "a", "mat", "##s", "##ting", "dog", "run", "##ning", "cafe", "##zz")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEXTS = ("the cat sat on a mat", "dogs", "a cat runs", "the dog sat sitting on the mats of a cafe", "qqq zzz")
SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48}


def word_piece(words: Sequence[str] = WORDS) -> Library:
    """A WordPiece tokenizer that pads to 16 and cuts at 12, as a file in the wild may."""
    tokens = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS if letter != "z"), *words]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    made = Library(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(list(SPECIAL))
    made.enable_padding(length=16)
    made.enable_truncation(12)
    return made


def config(model_type: str = "bert", **more: Any) -> Any:
    """A tiny configuration of any family."""
    sizes: dict[str, Any] = {"vocab_size": word_piece().get_vocab_size(), "max_position_embeddings": 40, **SIZES}
    if model_type == "distilbert":
        sizes |= {"dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 48}
    with transformers() as library:
        return library.AutoConfig.for_model(model_type, **{**sizes, **more})


def save_model(folder: Path, model_type: str = "bert", *, labels: int = 0, **more: Any) -> Path:
    """Save a model with random but far from zero weights, and its tokenizer."""
    torch.manual_seed(0)
    with transformers() as library:
        kind = library.AutoModelForSequenceClassification if labels else library.AutoModel
        given = {"num_labels": labels} if labels else {}
        model = kind.from_config(config(model_type, **given, **more), attn_implementation="eager")
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                centre = 1.0 if "LayerNorm.weight" in name or "layer_norm.weight" in name else 0.0
                tensor.copy_(centre + 0.3 * torch.randn_like(tensor))
        model.save_pretrained(folder)
    word_piece().save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": 32})
    return folder


def save_sentence_model(folder: Path, model_type: str = "bert", pooling: str = "mean", dense: int = 0) -> Path:
    """The same in the layout of sentence-transformers, with a Dense layer of ``dense`` outputs and Normalize."""
    save_model(folder, model_type)
    kinds = ["Transformer", "Pooling", *(["Dense"] if dense else []), "Normalize"]
    places = ["", *(f"{index}_{kind}" for index, kind in enumerate(kinds) if index)]
    parts = [
        {"idx": index, "name": str(index), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, place) in enumerate(zip(kinds, places, strict=True))
    ]
    write(folder / "modules.json", parts)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode": pooling})
    if dense:
        save_dense(folder / "2_Dense", dense)
    return folder


def save_dense(folder: Path, outputs: int) -> None:
    """A Dense layer as sentence-transformers saves it."""
    from safetensors.torch import save_file

    table = {"in_features": 32, "out_features": outputs, "bias": True}
    write(folder / "config.json", {**table, "activation_function": "torch.nn.modules.activation.Tanh"})
    weights = {"linear.weight": torch.randn(outputs, 32), "linear.bias": torch.randn(outputs)}
    save_file(weights, folder / "model.safetensors")


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))
