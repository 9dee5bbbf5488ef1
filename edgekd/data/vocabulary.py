"""A tokenizer with the tokens that a corpus uses: a small encoder is mostly its embedding table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.data.tokens import Tokenizer
from edgekd.errors import BadInputError

Ids = NDArray[np.int64]


def trim(tokenizer: Tokenizer, texts: Iterable[str], min_count: int = 1) -> tuple[Tokenizer, Ids]:
    """Keep the tokens that occur in ``texts`` at least ``min_count`` times, and those that must stay.

    Those are special and added tokens, pieces of one character, and every piece with a character that has no piece
    of its own, so that text of known characters falls into smaller pieces and not into the unknown token; for
    BPE also what its kept tokens are merged from. With ``min_count`` 1 the tokens of ``texts`` stay the same.

    Returns the tokenizer with ids renumbered in their old order, and the old id of each new one: (V',) int64,
    by which the rows of an embedding are gathered.

    Raises:
        BadInputError: a model other than WordPiece, Unigram or byte-level BPE.

    """
    parsed = json.loads(tokenizer.text)
    kind = _kind(parsed["model"])
    seen = set(np.flatnonzero(counts(tokenizer, texts) >= min_count).tolist())
    kept = np.array(sorted(seen | special(tokenizer) | kind.needed(parsed["model"], seen)), np.int64)
    renumbered = {int(old): new for new, old in enumerate(kept)}
    parsed["model"] = kind.rebuilt(parsed["model"], renumbered)
    parsed["added_tokens"] = [{**token, "id": renumbered[token["id"]]} for token in parsed["added_tokens"]]
    if parsed.get("post_processor"):
        parsed["post_processor"] = _post_processor(parsed["post_processor"], renumbered)
    text = json.dumps(parsed, ensure_ascii=False, separators=(",", ":"))
    return replace(tokenizer, text=text, pad_id=renumbered[tokenizer.pad_id]), kept


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one type of model is trimmed."""

    needed: Callable[[Mapping[str, Any], set[int]], set[int]]  # ids that stay, given those seen
    rebuilt: Callable[[Mapping[str, Any], Mapping[int, int]], dict[str, Any]]


def _kind(model: Mapping[str, Any]) -> _Kind:
    name = model.get("type")
    pieces = model.get("continuing_subword_prefix"), model.get("end_of_word_suffix")
    if name not in KINDS or (name == "BPE" and any(pieces)):
        marked = " with marked pieces" if name == "BPE" else ""
        raise BadInputError(
            f"found a tokenizer of type {name}{marked}, expected WordPiece, Unigram or byte-level BPE for trimming",
            "leave the vocabulary as it is",
        )
    return KINDS[name]


def special(tokenizer: Tokenizer) -> set[int]:
    """Ids that don't come from words: padding, what stands around a text, added tokens, the unknown one."""
    parsed = json.loads(tokenizer.text)
    model, added = parsed["model"], {int(token["id"]) for token in parsed["added_tokens"]}
    unknown = tokenizer.vocabulary.get(str(model.get("unk_token")), model.get("unk_id"))
    return added | {tokenizer.pad_id, *tokenizer.token_ids("")} | ({int(unknown)} if unknown is not None else set())


def counts(tokenizer: Tokenizer, texts: Iterable[str]) -> Ids:
    """How often each token (V,) occurs in texts."""
    size = max(tokenizer.vocabulary.values()) + 1
    found = np.zeros(size, np.int64)
    for ids, _ in tokenizer.chunks(texts):
        found += np.bincount(np.concatenate([np.array(row, np.int64) for row in ids]), minlength=size)
    return found


def _unsplittable(pieces: Mapping[str, int], singles: Callable[[str], Iterable[str]]) -> set[int]:
    """Ids of pieces of which a part, as ``singles`` gives them, is no piece itself."""
    return {index for piece, index in pieces.items() if not all(single in pieces for single in singles(piece))}


def _word_piece_needed(model: Mapping[str, Any], _seen: set[int]) -> set[int]:
    vocabulary, prefix = model["vocab"], model["continuing_subword_prefix"]

    def singles(piece: str) -> list[str]:
        if piece.startswith(prefix) and piece != prefix:
            return [prefix + character for character in piece.removeprefix(prefix)]
        return [piece[:1], *(prefix + character for character in piece[1:])]

    alone = {index for piece, index in vocabulary.items() if len(singles(piece)) == 1}
    unknown = {vocabulary[model["unk_token"]]} if model["unk_token"] in vocabulary else set()
    return alone | unknown | _unsplittable(vocabulary, singles)


def _unigram_needed(model: Mapping[str, Any], _seen: set[int]) -> set[int]:
    pieces = {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    alone = {index for piece, index in pieces.items() if len(piece) == 1}
    as_bytes = {index for piece, index in pieces.items() if model.get("byte_fallback") and piece.startswith("<0x")}
    least = min(range(len(model["vocab"])), key=lambda index: model["vocab"][index][1])  # an unknown one costs more
    unknown = set() if model.get("unk_id") is None else {int(model["unk_id"])}
    return alone | as_bytes | {least} | unknown | _unsplittable(pieces, lambda piece: piece)


def _bpe_needed(model: Mapping[str, Any], seen: set[int]) -> set[int]:
    vocabulary = model["vocab"]
    kept = {piece for piece, index in vocabulary.items() if index in seen or len(piece) == 1}
    made_of: dict[str, list[tuple[str, str]]] = {}
    for left, right in _merges(model):
        made_of.setdefault(left + right, []).append((left, right))
    waiting = list(kept)
    while waiting:  # every way to a kept token, since the shorter pieces of one word are the longer ones of another
        parts = {part for pair in made_of.get(waiting.pop(), ()) for part in pair} - kept
        kept |= parts
        waiting += parts
    unknown = {vocabulary[model["unk_token"]]} if model.get("unk_token") in vocabulary else set()
    return {vocabulary[piece] for piece in kept} | unknown


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
    return [(left, right) for left, right in pairs]


def _mapped_vocabulary(model: Mapping[str, Any], renumbered: Mapping[int, int]) -> dict[str, Any]:
    vocabulary = {piece: renumbered[index] for piece, index in model["vocab"].items() if index in renumbered}
    return {**model, "vocab": vocabulary}


def _listed_vocabulary(model: Mapping[str, Any], renumbered: Mapping[int, int]) -> dict[str, Any]:
    vocabulary = [entry for index, entry in enumerate(model["vocab"]) if index in renumbered]
    unknown = model.get("unk_id")
    return {**model, "vocab": vocabulary, "unk_id": None if unknown is None else renumbered[unknown]}


def _merged_vocabulary(model: Mapping[str, Any], renumbered: Mapping[int, int]) -> dict[str, Any]:
    made = _mapped_vocabulary(model, renumbered)
    kept = made["vocab"]
    merges = [[left, right] for left, right in _merges(model) if {left, right, left + right} <= kept.keys()]
    return {**made, "merges": merges}


def _post_processor(table: Mapping[str, Any], renumbered: Mapping[int, int]) -> dict[str, Any]:
    """Renumber the ids in what puts the special tokens around a text."""
    if table["type"] == "Sequence":
        return {**table, "processors": [_post_processor(each, renumbered) for each in table["processors"]]}
    if table["type"] == "TemplateProcessing":
        tokens = {
            name: {**token, "ids": [renumbered[index] for index in token["ids"]]}
            for name, token in table["special_tokens"].items()
        }
        return {**table, "special_tokens": tokens}
    pairs = {key: [table[key][0], renumbered[table[key][1]]] for key in ("sep", "cls") if key in table}
    return {**table, **pairs}


KINDS = {
    "WordPiece": _Kind(_word_piece_needed, _mapped_vocabulary),
    "Unigram": _Kind(_unigram_needed, _listed_vocabulary),
    "BPE": _Kind(_bpe_needed, _merged_vocabulary),
}
