"""Score the classic baseline on the same test items: TF-IDF, for texts. Part of the proof."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgekd.algorithms import retrieval, tfidf
from edgekd.artifact import Artifact, Kind
from edgekd.data.texts import Pairs, TextSet
from edgekd.stages.base import Context, NoConfig
from edgekd.store import Product
from edgekd.tasks.base import Arrays, Task
from edgekd.units import plural

VERSION = 1
CONSUMES: tuple[tuple[Kind, ...], ...] = ()
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("scikit-learn", "numpy")
READS_DATA = True
Config = NoConfig


def run(_inputs: tuple[Artifact, ...], _config: NoConfig, context: Context) -> Product:
    """Write what each item scored, and for classification the log probabilities."""
    from threadpoolctl import threadpool_limits

    task, data = context.task(), context.data.set
    with threadpool_limits(context.threads):  # two threads on shared cores took a minute for a second's work
        if isinstance(data.test, Pairs):
            found = searched(data.test, tfidf.Index(list(data.test.documents), list(data.train.texts)))
        else:
            found = _classified(data, data.test.texts, task)
    path = context.scratch / "outputs.npz"
    np.savez(path, allow_pickle=False, **found)
    quality = float(found["scores"].mean())
    facts = {"quality": quality, "items": len(found["scores"]), "data": task.title, "metric": task.metric}
    summary = f"{task.metric} {quality:.2%} of {len(found['scores']):,} test {plural(task.item)}"
    return Product(path, {**facts, "item": task.item, "summary": summary})


def searched(pairs: Pairs, index: tfidf.Index) -> Arrays:
    """What each query, or each pair with a given similarity, scores by an index of the pairs' documents."""
    queries = list(pairs.queries)
    if pairs.scores is None:
        ranks = index.ranks(queries, pairs.galleries)
        return {"scores": retrieval.reciprocal_rank(ranks), "ranks": ranks, "galleries": pairs.galleries}
    cosines = index.cosines(queries)
    if np.ptp(cosines) == 0:  # no pair has a word in common, or all have the same: no order, no correlation
        return {"scores": np.zeros(len(pairs))}
    return {"scores": retrieval.spearman_parts(cosines, pairs.scores)}


def log_probabilities(data: TextSet, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """What a classifier that was trained on the training texts with labels says of ``texts``: (N, classes)."""
    train = data.train
    if train.labels is None:
        raise TypeError(f"found no labels in {data.title!r}")
    known = np.flatnonzero(train.labels >= 0)
    return tfidf.classify(train.take(known), train.labels[known], texts, len(data.classes))


def _classified(data: TextSet, texts: Sequence[str], task: Task) -> Arrays:
    logits = log_probabilities(data, list(texts))
    scored = task.score(logits)
    return {"outputs": logits, "scores": scored.scores, **scored.more}
