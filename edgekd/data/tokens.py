"""Text into token ids: one tokenizer file, and the ragged ids of many texts.

Uses the library tokenizers alone; transformers is only asked where a folder has no tokenizer.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import BadInputError, MissingExtraError

VERSION = 1  # of the file that save writes
CHUNK_TEXTS = 1024  # encoded at once: enough for every core, and few enough to keep memory flat
PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>")

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of N texts, one after another: text i has ``ids[offsets[i]:offsets[i + 1]]``.

    ``ids`` (total,) int32 may be a memory map; ``offsets`` (N + 1,) int64. ``cut`` texts were longer than the limit
    and lost ``cut_tokens`` tokens together.
    """

    ids: NDArray[np.int32]
    offsets: Ids
    pad_id: int
    cut: int = 0
    cut_tokens: int = 0

    def __len__(self) -> int:
        """The number of texts."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ids:
        """Tokens of each text, special ones included: (N,) int64."""
        return np.diff(self.offsets)

    def batch(self, rows: Sequence[int] | Ids, length: int | None = None) -> dict[str, Ids]:
        """Return ``input_ids`` and ``attention_mask`` of ``rows``, (B, L) int64, padded on the right.

        L is ``length``, or the longest of the rows.

        >>> encoded = Encoded(np.array([2, 9, 3, 2, 3], np.int32), np.array([0, 3, 5]), pad_id=0)
        >>> batch = encoded.batch([1, 0])
        >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist()
        ([[2, 3, 0], [2, 9, 3]], [[1, 1, 0], [1, 1, 1]])

        Raises:
            BadInputError: a row is longer than ``length``.

        """
        chosen = np.asarray(rows, np.int64)
        starts, counts = self.offsets[chosen], self.offsets[chosen + 1] - self.offsets[chosen]
        longest = int(counts.max(initial=0))
        width = longest if length is None else length
        if longest > width:
            raise BadInputError(
                f"found a text of {longest} tokens, expected at most {width}: the length that batches are padded to",
                "encode with a tokenizer whose max_length is that length",
            )
        columns = np.arange(width)
        mask = columns < counts[:, None]
        ids = np.full(mask.shape, self.pad_id, np.int64)
        ids[mask] = self.ids[(starts[:, None] + columns)[mask]]
        return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """What a tokenizer.json says, without its own padding and truncation, and the limit that is ours.

    ``max_length`` counts special tokens too. ``prompt`` is put before every text.
    """

    text: str = field(repr=False)  # as tokenizers writes it
    max_length: int
    pad_id: int
    prompt: str = ""

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read what ``save`` wrote.

        Raises:
            BadInputError: another file, or one of another version.

        """
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInputError(f"found no tokenizer in {path}: {error}") from error
        if not isinstance(saved, dict) or saved.get("edgekd_tokenizer") != VERSION:
            raise BadInputError(
                f"found {path}, which is no tokenizer that edgekd saved (version {VERSION})",
                "a tokenizer.json is read with Tokenizer.from_folder(its folder)",
            )
        return cls(_compact(saved["tokenizer"]), saved["max_length"], saved["pad_id"], saved["prompt"])

    @classmethod
    def from_folder(cls, folder: Path, max_length: int | None = None) -> Tokenizer:
        """Read the tokenizer of a transformers or sentence-transformers model.

        The limit is, as there: max_seq_length of sentence_bert_config.json, else model_max_length of
        tokenizer_config.json, else the number of positions in config.json. A lower ``max_length`` lowers it.

        Raises:
            BadInputError: no tokenizer, no padding token, or a ``max_length`` above the model's.

        """
        from edgekd.data.tokenizer_folder import settings

        found = settings(folder)
        backend = _built(found.text)
        pad_id = next(
            (i for token in (*found.pad_tokens, *PAD_TOKENS) if (i := backend.token_to_id(token)) is not None), None
        )
        if pad_id is None:
            raise BadInputError(
                f"found no padding token in {folder}, expected pad_token in tokenizer_config.json",
                "set pad_token with transformers and save the tokenizer again",
            )
        made = cls(_compact(json.loads(backend.to_str())), found.max_length, pad_id, found.prompt)
        return made if max_length is None else made.limited(max_length)

    def limited(self, max_length: int) -> Tokenizer:
        """Return the same tokenizer with a lower limit.

        Raises:
            BadInputError: above the present limit, or no room for a token between the special ones.

        """
        least = len(self.token_ids("")) + 1
        if not least <= max_length <= self.max_length:
            raise BadInputError(
                f"found max_length = {max_length}, expected {least} to {self.max_length}: "
                "special tokens and one more, up to what the model takes"
            )
        return replace(self, max_length=max_length)

    def save(self, path: Path) -> Path:
        """Write one JSON file; equal tokenizers are equal files."""
        path.write_text(self._saved(), encoding="utf-8")
        return path

    @property
    def digest(self) -> str:
        """SHA-256 of what ``save`` writes."""
        return hashlib.sha256(self._saved().encode()).hexdigest()

    @property
    def vocabulary(self) -> dict[str, int]:
        """Every token with its id, added ones included."""
        return dict(_built(self.text).get_vocab(with_added_tokens=True))

    def token_ids(self, text: str) -> list[int]:
        """Token ids of one text, special tokens included, cut at the limit."""
        return list(_cutting(self.text, self.max_length).encode(self.prompt + text).ids)

    def tokens(self, text: str) -> list[str]:
        """The same as strings."""
        return list(_cutting(self.text, self.max_length).encode(self.prompt + text).tokens)

    def chunks(self, texts: Iterable[str]) -> Iterator[tuple[list[list[int]], list[int]]]:
        """Yield, for some texts at a time, their token ids and how many tokens each of them lost."""
        first = 0
        source = iter(texts)
        while chunk := list(islice(source, CHUNK_TEXTS)):
            yield self._encode_chunk(chunk, first)
            first += len(chunk)

    def encode(self, texts: Iterable[str], sink: Path | None = None) -> Encoded:
        """Encode ``texts``, which are taken a thousand at a time.

        With ``sink`` the ids go to that file and are memory-mapped from it, so that memory holds 8 bytes for each text.

        Raises:
            BadInputError: an item that is no text, with its row.

        """
        lengths, kept, lost = [np.zeros(1, np.int64)], [], [0, 0]
        with nullcontext() if sink is None else open(sink, "wb") as file:
            for ids, gone in self.chunks(texts):
                lengths.append(np.fromiter(map(len, ids), np.int64, len(ids)))
                flat = np.fromiter(chain.from_iterable(ids), np.int32)
                lost = [lost[0] + sum(map(bool, gone)), lost[1] + sum(gone)]
                if file is None:
                    kept.append(flat)
                else:
                    flat.tofile(file)
        offsets = np.cumsum(np.concatenate(lengths))
        if sink is not None and offsets[-1]:  # a file of no bytes can't be mapped
            kept = [np.memmap(sink, np.int32, "r")]
        flat = kept[0] if len(kept) == 1 else np.concatenate([np.empty(0, np.int32), *kept])
        return Encoded(flat, offsets, self.pad_id, *lost)

    def _encode_chunk(self, texts: Sequence[str], first: int) -> tuple[list[list[int]], list[int]]:
        whole = _built(self.text)
        try:
            ids = [found.ids for found in whole.encode_batch_fast([self.prompt + text for text in texts])]
        except TypeError:
            raise self._not_a_text(texts, first) from None
        gone = [max(0, len(each) - self.max_length) for each in ids]
        long = [row for row, tokens in enumerate(gone) if tokens]  # encoded again, so that their last token stays
        again = _cutting(self.text, self.max_length).encode_batch_fast([self.prompt + texts[row] for row in long])
        for row, found in zip(long, again, strict=True):
            ids[row] = found.ids
        return ids, gone

    def _not_a_text(self, texts: Sequence[object], first: int) -> BadInputError:
        for row, text in enumerate(texts, first):
            if not isinstance(text, str):
                return BadInputError(f"row {row}: found a {type(text).__name__}, expected text")
            if any("\ud800" <= character <= "\udfff" for character in text):
                return BadInputError(f"row {row}: found text with half a surrogate pair, expected valid Unicode")
        return BadInputError(f"rows {first} to {first + len(texts) - 1}: the tokenizer refused a text")

    def _saved(self) -> str:
        own = {"edgekd_tokenizer": VERSION, "max_length": self.max_length, "pad_id": self.pad_id, "prompt": self.prompt}
        return _compact({**own, "tokenizer": json.loads(self.text)})


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=4)
def _built(text: str) -> Any:
    """The library's tokenizer that neither pads nor cuts."""
    try:
        from tokenizers import Tokenizer as Library
    except ImportError:
        raise MissingExtraError("tokenizers", "build", "a text task") from None
    try:
        made = Library.from_str(text)
    except Exception as error:  # the library raises Exception itself
        raise BadInputError(f"found a tokenizer that the library tokenizers can't read: {error}") from error
    made.no_padding()
    made.no_truncation()
    return made


@lru_cache(maxsize=4)
def _cutting(text: str, max_length: int) -> Any:
    """The same, cutting at ``max_length`` tokens."""
    from tokenizers import Tokenizer as Library

    made = Library.from_str(_built(text).to_str())
    made.enable_truncation(max_length)
    return made
