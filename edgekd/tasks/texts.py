"""What the tasks on texts share: token ids, read once and mapped from disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekd.algorithms import shift
from edgekd.data.columns import chunks, take
from edgekd.data.texts import Pairs, Texts, TextSet
from edgekd.data.tokens import Encoded, Tokenizer
from edgekd.errors import BadInputError
from edgekd.tasks.base import Arrays, Rows, Split, Task


class TextTask(Task):
    """Texts as token ids and an attention mask, both (rows, length) int64."""

    row = item = "text"
    raw_suffix = ".txt"

    def __init__(self, data: TextSet, selection: int, tokenizer: Path | None, scratch: Path) -> None:
        self.data, self.selection = data, selection
        self.title, self.classes, self.problems = data.title, data.classes, data.problems
        self.tokenizer = None if tokenizer is None else Tokenizer.load(tokenizer)
        self._path, self._scratch = tokenizer, scratch
        self._encoded: dict[Split, Encoded] = {}
        self._read_by: dict[Path | None, TextTask] = {tokenizer: self}

    def texts(self, split: Split) -> Iterable[str]:
        """The texts of a split, a few thousand in memory at a time; unlabelled ones follow the training texts."""
        return chain.from_iterable(some for part in self._columns(split) for some in chunks(part))

    def raw(self, split: Split, row: int) -> bytes:
        """The text in UTF-8, without the prompt that a tokenizer may put before it."""
        for part in self._columns(split):
            if row < len(part):
                return str(take(part, np.asarray([row]))[0]).encode()
            row -= len(part)
        raise IndexError(f"found no {split} text of that number, {row} beyond the last")

    def count(self, split: Split) -> int:
        """How many texts a split has; of pairs, both sides."""
        if split == "out_of_domain":
            return 0 if self.data.out_of_domain is None else len(self.data.out_of_domain)
        if split == "train":
            return len(self.data.train) + (0 if self.data.unlabelled is None else len(self.data.unlabelled))
        return len(self.data.test) * (2 if isinstance(self.data.test, Pairs) else 1)

    def ids(self, split: Split, rows: Rows) -> Sequence[str]:
        """The data's own ids; of test pairs 'test/query/3' and 'test/document/3'.

        Raises:
            BadInputError: the data has none. Numbers won't do, since repeated texts are dropped and shift them.

        """
        if split == "test" and isinstance(self.data.test, Pairs):
            count = len(self.data.test)
            return [f"test/{'document' if row >= count else 'query'}/{row % count}" for row in rows.tolist()]
        found, start = np.empty(len(rows), object), 0
        for part in self._parts(split):
            chosen = (rows >= start) & (rows < start + len(part))
            found[chosen] = [str(name) for name in take(self._named(part, split), rows[chosen] - start)]
            start += len(part)
        return list(found)

    def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
        """Token ids and mask, padded to the longest of ``rows``."""
        del view
        return self.encoded(split).batch(rows)

    def lengths(self, split: Split, rows: Rows) -> npt.NDArray[np.int64]:
        """Tokens of each row."""
        return np.asarray(self.encoded(split).lengths[rows], np.int64)

    def representative(self) -> Arrays:
        """A text as long as the limit: test texts one after another."""
        tokenizer = self._reader()
        words = ""
        for text in chain(self.texts("test"), self.texts("train")):
            words = f"{words} {text}"
            if len(found := tokenizer.token_ids(words)) == tokenizer.max_length:
                break
        ids = np.asarray([found], np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def encoded(self, split: Split) -> Encoded:
        """The token ids of a split, made when first asked for."""
        if split not in self._encoded:
            reader = self._reader()
            sink = self._scratch / f"tokens-{split}-{reader.digest[:8]}.i32"
            self._encoded[split] = reader.encode(self.texts(split), sink)
        return self._encoded[split]

    def read_by(self, tokenizer: Path) -> Task:
        """The same texts by another tokenizer; made once, since each reads all of them."""
        if tokenizer not in self._read_by:
            self._read_by[tokenizer] = type(self)(self.data, self.selection, tokenizer, self._scratch)
        return self._read_by[tokenizer]

    def shifts(self) -> Mapping[str, tuple[float, ...]]:
        """Typos, truncation, upper case."""
        return {name: each.levels for name, each in shift.TEXT_SHIFTS.items()}

    def under(self, kind: str | None, level: float, items: int, seed: int) -> Task:
        """The first test texts, or of pairs the queries, put under a shift."""
        first = np.arange(min(items, len(self.data.test)))

        def shown(texts: Sequence[str]) -> list[str]:
            some = take(texts, first)
            return some if kind is None else shift.shifted(kind, level, some, seed)

        test: Pairs | Texts
        if isinstance(self.data.test, Pairs):
            pairs = self.data.test
            scores = None if pairs.scores is None else pairs.scores[first]
            test = Pairs(shown(pairs.queries), take(pairs.documents, first), pairs.galleries[first], scores)
        else:
            whole = self.data.test
            test = Texts(shown(whole.texts), None if whole.labels is None else whole.labels[first])
        scratch = self._scratch / f"{kind}-{level}"
        scratch.mkdir(exist_ok=True)
        return type(self)(replace(self.data, test=test), self.selection, self._path, scratch)

    def notes(self) -> tuple[str, ...]:
        """Problems of the data, and what limits on length cut off the splits that were read so far."""
        return self.problems + tuple(dict.fromkeys(line for task in self._read_by.values() for line in task.cut()))

    def cut(self) -> Iterator[str]:
        """What this tokenizer's limit cut off each split that it has read."""
        for split, found in self._encoded.items():
            if found.cut:
                longer = f"{found.cut:,} of {len(found):,} {split} texts were longer than"
                yield f"{longer} {self._reader().max_length} tokens and lost {found.cut_tokens:,} tokens together"

    def _columns(self, split: Split) -> list[Sequence[str]]:
        """The texts of a split, part by part."""
        if split == "test" and isinstance(self.data.test, Pairs):
            return [self.data.test.queries, self.data.test.documents]
        return [part.texts for part in self._parts(split)]

    def _parts(self, split: Split) -> list[Texts]:
        """What a split of single texts is made of; unlabelled texts follow the training texts."""
        parts = {"train": (self.data.train, self.data.unlabelled), "out_of_domain": (self.data.out_of_domain,)}
        return [part for part in parts.get(split, (self.data.test,)) if isinstance(part, Texts)]

    def _named(self, part: Texts, split: Split) -> Sequence[str]:
        if part.ids is None:
            raise BadInputError(
                f"{self.title}, split {split!r}: found texts without ids, by which a table of outputs finds them",
                "add a column 'id' to the data, or name it: [data] columns = { id = '…' }",
            )
        return part.ids

    def _reader(self) -> Tokenizer:
        if self.tokenizer is None:
            raise BadInputError(
                f"{self.title}: found no tokenizer for the model, expected one",
                "name the folder that has it: tokenizer = 'FOLDER' in [teacher] or [student]",
            )
        return self.tokenizer
