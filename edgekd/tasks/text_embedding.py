"""Text embedding: a text in, a vector out, scored by retrieval (mean reciprocal rank) or by given similarities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from edgekd.algorithms import retrieval
from edgekd.data.text_sources import TextDataConfig
from edgekd.data.text_sources import source as text_source
from edgekd.data.texts import Pairs, TextSet, check
from edgekd.errors import BadInputError
from edgekd.tasks.base import Outputs, Scored, Task
from edgekd.tasks.texts import TextTask

NAME: Final = "text-embedding"
OUTPUTS = Outputs.VECTORS
TEACHING = {
    "losses": [{"use": "cosine", "weight": 10.0}, {"use": "similarity-mse", "weight": 20.0}],
    "optimizer": "adamw",
    "learning_rate": 5e-4,
    "weight_decay": 0.01,
    "batch_size": 64,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "distill": TEACHING,
    "prune": TEACHING,
    "qat": {**TEACHING, "learning_rate": 1e-4},
}
DataConfig = TextDataConfig


def source(config: TextDataConfig, cache: Path | None) -> Any:
    """Where the texts come from."""
    return text_source(config, NAME, cache)


def open_task(data: TextSet, config: TextDataConfig, tokenizer: Path | None, scratch: Path) -> Task:
    """Bind texts to the task."""
    return TextEmbedding(check(data, NAME), config.selection, tokenizer, scratch)


class TextEmbedding(TextTask):
    """Queries that are to find their document, or pairs with a given similarity."""

    metric = "MRR"
    outputs = Outputs.VECTORS

    def __init__(self, data: TextSet, selection: int, tokenizer: Path | None, scratch: Path) -> None:
        super().__init__(data, selection, tokenizer, scratch)
        if not isinstance(data.test, Pairs):
            raise BadInputError(f"{data.title}: found no test pairs, expected queries and documents")
        self.pairs = data.test
        self.item = "query" if self.pairs.scores is None else "pair"
        if self.pairs.scores is not None:
            self.metric = "Spearman correlation"

    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        """The reciprocal rank of each query's document, or each pair's part in the rank correlation."""
        queries, documents = outputs[: len(self.pairs)], outputs[len(self.pairs) :]
        if self.pairs.scores is None:
            ranks = retrieval.ranks(queries, documents, self.pairs.galleries)
            return Scored(retrieval.reciprocal_rank(ranks), {"ranks": ranks, "galleries": self.pairs.galleries})
        cosines = (retrieval.unit(queries) * retrieval.unit(documents)).sum(1)
        return Scored(
            retrieval.spearman_parts(cosines, self.pairs.scores), {"cosines": cosines, "given": self.pairs.scores}
        )
