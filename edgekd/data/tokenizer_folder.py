"""What the JSON files beside a transformers model say about its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.errors import BadInputError, MissingExtraError

UNLIMITED = 1_000_000  # transformers writes 1e30 where a tokenizer has no limit of its own
OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl"})


@dataclass(frozen=True, slots=True)
class Settings:
    """The tokenizer.json, the token limit, what may be the padding token, and what goes before each text."""

    text: str
    max_length: int
    pad_tokens: tuple[str, ...]
    prompt: str


def settings(folder: Path) -> Settings:
    """Read them from ``folder``.

    Raises:
        BadInputError: no tokenizer there, or no limit.

    """
    root = transformer_folder(folder)
    sentence, own = read(root / "sentence_bert_config.json"), read(root / "tokenizer_config.json")
    text = _lowercased(_tokenizer_json(root)) if sentence.get("do_lower_case") else _tokenizer_json(root)
    tokens = (own.get("pad_token"), read(root / "special_tokens_map.json").get("pad_token"))
    names = tuple(str(token["content"] if isinstance(token, Mapping) else token) for token in tokens if token)
    return Settings(text, max_length(root), names, prompt(folder))


def read(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``, empty where there is no such file.

    Raises:
        BadInputError: it isn't JSON, or no object.

    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInputError(f"{path}: found a file that isn't JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadInputError(f"{path}: found a {type(found).__name__}, expected a JSON object")
    return found


def modules(folder: Path) -> tuple[dict[str, Any], ...]:
    """The parts that sentence-transformers' modules.json lists, in order; none where there is no such file."""
    path = folder / "modules.json"
    if not path.is_file():
        return ()
    try:
        return tuple(sorted(json.loads(path.read_text(encoding="utf-8")), key=lambda part: int(part["idx"])))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: found no list of modules with idx, path and type: {error!r}") from error


def transformer_folder(folder: Path) -> Path:
    """Where config.json, the weights and the tokenizer lie: ``folder``, or the one that modules.json names first."""
    parts = modules(folder)
    return folder / parts[0]["path"] if parts else folder


def max_length(root: Path) -> int:
    """The most tokens that the model takes, special ones included.

    Raises:
        BadInputError: no file says it.

    """
    config = read(root / "config.json")
    limit = read(root / "sentence_bert_config.json").get("max_seq_length")
    if limit is None:
        limit = read(root / "tokenizer_config.json").get("model_max_length")
    positions = int(config.get("max_position_embeddings", UNLIMITED))
    if config.get("model_type") in OFFSET_POSITIONS:  # their first position is the padding id + 1
        positions -= int(config.get("pad_token_id", 1)) + 1
    least = min(int(limit or UNLIMITED), positions)
    if not 0 < least < UNLIMITED:
        raise BadInputError(
            f"found no token limit in {root}", "set model_max_length in its tokenizer_config.json to a number of tokens"
        )
    return least


def prompt(folder: Path) -> str:
    """What sentence-transformers puts before each text unless told otherwise; mostly nothing."""
    own = read(folder / "config_sentence_transformers.json")
    return str(own.get("prompts", {}).get(own.get("default_prompt_name"), ""))


def _tokenizer_json(root: Path) -> str:
    path = root / "tokenizer.json"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if not any((root / name).is_file() for name in ("vocab.txt", "vocab.json")) and not list(root.glob("*.model")):
        raise BadInputError(f"found no tokenizer.json or vocabulary in {root}", "save the tokenizer beside the model")
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("transformers", "build", f"{root}, which has no tokenizer.json,") from None
    from edgekd.models import quiet

    with quiet.frameworks():
        return str(AutoTokenizer.from_pretrained(str(root), use_fast=True).backend_tokenizer.to_str())


def _lowercased(text: str) -> str:
    """Put a lower-casing normalizer first: sentence-transformers lower-cases before the tokenizer does anything."""
    parsed = json.loads(text)
    given = parsed.get("normalizer")
    parsed["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *([given] if given else [])]}
    return json.dumps(parsed, ensure_ascii=False)
