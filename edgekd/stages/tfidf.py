"""Score the classic baseline on the same test items: TF-IDF, for texts. Part of the proof."""

from __future__ import annotations

import numpy as np

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
        found = _retrieved(data) if isinstance(data.test, Pairs) else _classified(data, task)
    path = context.scratch / "outputs.npz"
    np.savez(path, allow_pickle=False, **found)
    quality = float(found["scores"].mean())
    facts = {"quality": quality, "items": len(found["scores"]), "data": task.title, "metric": task.metric}
    summary = f"{task.metric} {quality:.2%} of {len(found['scores']):,} test {plural(task.item)}"
    return Product(path, {**facts, "item": task.item, "summary": summary})


def _retrieved(data: TextSet) -> Arrays:
    pairs = data.test
    if not isinstance(pairs, Pairs):
        raise TypeError(f"found test data of type {type(pairs).__name__}, expected Pairs")
    queries, documents = list(pairs.queries), list(pairs.documents)
    if pairs.scores is not None:
        cosines = tfidf.cosines(queries, documents, list(data.train.texts))
        return {"scores": retrieval.spearman_parts(cosines, pairs.scores)}
    ranks = tfidf.ranks(queries, documents, pairs.galleries, list(data.train.texts))
    return {"scores": retrieval.reciprocal_rank(ranks), "ranks": ranks, "galleries": pairs.galleries}


def _classified(data: TextSet, task: Task) -> Arrays:
    train, test = data.train, data.test
    if isinstance(test, Pairs) or train.labels is None or test.labels is None:
        raise TypeError(f"found no labels in {data.title!r}")
    known = np.flatnonzero(train.labels >= 0)
    logits = tfidf.classify(train.take(known), train.labels[known], list(test.texts), len(data.classes))
    scored = task.score(logits)
    return {"outputs": logits, "scores": scored.scores, **scored.more}
