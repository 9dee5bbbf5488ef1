"""A WordPiece tokenizer's tokens, one a line, and whether MediaPipe can read texts by them.

MediaPipe's BertTokenizer takes nothing but the tokens: it lower-cases the letters A to Z, splits at ASCII spaces, at
punctuation and around Chinese characters, cuts words into pieces, and puts [CLS] and [SEP] around them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

NEEDED = ("[CLS]", "[SEP]", "[UNK]")


def vocabulary(told: Mapping[str, Any]) -> bytes | None:
    """The tokens of a parsed tokenizer.json, each in the line of its id; None where they can't be so."""
    if told["model"].get("type") != "WordPiece":
        return None
    tokens = told["model"]["vocab"]
    if sorted(tokens.values()) != list(range(len(tokens))) or any("\n" in token for token in tokens):
        return None
    return "".join(f"{token}\n" for token in sorted(tokens, key=tokens.get)).encode()


def obstacles(tokenizer: bytes) -> Iterator[str]:
    """Why MediaPipe's BertTokenizer can't stand for this tokenizer.json; nothing where it can."""
    told = json.loads(tokenizer)
    model = told["model"]
    if vocabulary(told) is None:
        yield f"it is of type {model.get('type')}, or its tokens don't fit into lines; MediaPipe reads WordPiece"
        return
    if model.get("continuing_subword_prefix") != "##":
        yield f"its pieces begin with {model.get('continuing_subword_prefix')!r}, and MediaPipe's with '##'"
    if missing := [token for token in NEEDED if token not in model["vocab"]]:
        yield f"it has no {', '.join(missing)}, which MediaPipe writes"
    if lowercase(told.get("normalizer")) is not True:
        yield "it keeps upper case, and MediaPipe doesn't"


def lowercase(normalizer: Mapping[str, Any] | None) -> bool | None:
    """Whether a tokenizer's normalizer lowers letters; None where it doesn't say."""
    if normalizer is None:
        return False
    if normalizer["type"] == "Sequence":
        told = [lowercase(each) for each in normalizer["normalizers"]]
        return True if True in told else next((each for each in told if each is not None), None)
    found = True if normalizer["type"] == "Lowercase" else normalizer.get("lowercase")
    return None if found is None else bool(found)
