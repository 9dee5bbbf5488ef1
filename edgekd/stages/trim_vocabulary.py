"""Leave out of a tokenizer's vocabulary what the training texts never use."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES = ((Kind.TOKENIZER,),)
PRODUCES = Kind.TOKENIZER
LIBRARIES = ("tokenizers",)
READS_DATA = True


class Config(Frozen):
    """How often a token must occur in the training texts to stay."""

    min_count: Annotated[int, Field(ge=1)] = 1


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the smaller tokenizer; the facts hold the ids that were kept, as runs [first, number]."""
    from edgekd.data import vocabulary
    from edgekd.data.tokens import Tokenizer
    from edgekd.tasks.texts import TextTask

    task, whole = context.task(inputs), Tokenizer.load(inputs[0].path)
    if not isinstance(task, TextTask):
        raise TypeError(f"found the task {task.title!r}, which has no texts")
    trimmed, kept = vocabulary.trim(whole, task.texts("train"), config.min_count)
    before, after = len(whole.vocabulary), len(kept)
    facts = {"kept": runs(kept), "tokens": after, "tokens_before": before, "max_length": trimmed.max_length}
    summary = f"{after:,} of {before:,} tokens"
    return Product(trimmed.save(context.scratch / "tokenizer.json"), {**facts, "summary": summary})


def runs(ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[list[int]]:
    """Ascending ids as runs of consecutive ones.

    >>> runs(np.array([0, 1, 2, 7]))
    [[0, 3], [7, 1]]
    """
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
    lengths = np.diff(np.append(starts, len(ids)))
    return [[int(ids[start]), int(length)] for start, length in zip(starts, lengths, strict=True)]


def ids_of(kept: list[list[int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The ids that runs stand for.

    >>> ids_of([[0, 3], [7, 1]]).tolist()
    [0, 1, 2, 7]
    """
    return np.concatenate([np.arange(first, first + number) for first, number in kept])
