"""Score TF-IDF on the test items that were made harder for the models: typos, truncation, upper case."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd.algorithms import tfidf
from edgekd.artifact import Artifact, Kind
from edgekd.data.texts import Pairs, TextSet
from edgekd.stages.base import Context
from edgekd.stages.shift import kept, shifted
from edgekd.stages.tfidf import log_probabilities, searched
from edgekd.store import Product
from edgekd.tasks.texts import TextTask
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES: tuple[tuple[Kind, ...], ...] = ()
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("scikit-learn", "numpy")
READS_DATA = True
Scores = dict[str, npt.NDArray[np.float64]]


class Config(Frozen):
    """How many test items."""

    items: Annotated[int, Field(ge=1)] = 300


def run(_inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write what each item scored as it is, and under every kind and level of shift."""
    from threadpoolctl import threadpool_limits

    task, data = context.task(), context.data.set
    doses = dict(shifted(task, config.items, context.seed))
    harder = {dose: each for dose, each in doses.items() if isinstance(each, TextTask)}
    with threadpool_limits(context.threads):  # as for the row without a shift
        scores = _searched(data, harder) if isinstance(data.test, Pairs) else _classified(data, harder)
    return kept(scores, task, context)


def _searched(data: TextSet, harder: Mapping[str, TextTask]) -> Scores:
    """Queries are shifted, documents are not: one index for all."""
    asked = {dose: task.data.test for dose, task in harder.items()}
    pairs = {dose: each for dose, each in asked.items() if isinstance(each, Pairs)}
    index = tfidf.Index(list(next(iter(pairs.values())).documents), list(data.train.texts))
    return {dose: searched(each, index)["scores"] for dose, each in pairs.items()}


def _classified(data: TextSet, harder: Mapping[str, TextTask]) -> Scores:
    """One classifier for all."""
    texts = chain.from_iterable(task.texts("test") for task in harder.values())
    logits = np.split(log_probabilities(data, list(texts)), len(harder))
    return {dose: task.score(some).scores for (dose, task), some in zip(harder.items(), logits, strict=True)}
