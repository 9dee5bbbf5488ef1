"""How well vectors find what belongs together: ranks within a gallery, and the usual figures made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ranks = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ROWS_AT_ONCE = 1024  # a block of similarities has at most this many rows, and four times as many columns: 32 MiB
TIE = 1e-9  # similarities this close are ties: the same document at two places may differ in its last bits


def ranks(queries: Array, documents: Array, galleries: Array, block: int = ROWS_AT_ONCE) -> Ranks:
    """Return the rank, from 1, of document i for query i among the documents of its gallery, by cosine.

    rank_i = number of documents j in the gallery of i with cos(query_i, document_j) >= cos(query_i, document_i), which
    counts i itself. Ties stand against the query: a model that maps everything to one vector finds nothing.
    A vector of zeros has a cosine of 0 with everything.

    ``queries`` and ``documents`` are (N, D), ``galleries`` (N,) whole numbers; memory beyond them doesn't grow with N
    squared: ``block`` rows are compared with 4 * ``block`` columns at a time, in float64.

    >>> queries = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> documents = np.array([[1.0, 1.0], [0.0, 2.0], [3.0, 3.1]])
    >>> ranks(queries, documents, np.array([7, 7, 7])).tolist()
    [1, 1, 2]
    >>> ranks(queries, documents, np.array([7, 7, 8])).tolist()
    [1, 1, 1]

    Raises:
        ValueError: shapes that don't fit, or a value that isn't finite.

    """
    if queries.shape != documents.shape or queries.ndim != 2:
        raise ValueError(f"found queries {queries.shape} and documents {documents.shape}, expected (N, D) twice")
    if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        raise ValueError("found a vector with a value that is not finite")

    def cosines(rows: Ranks, columns: Ranks) -> Floats:
        return unit(queries[rows]) @ unit(documents[columns]).T

    own = np.empty(len(queries))
    for rows in _blocks(np.arange(len(queries)), block):
        own[rows] = (unit(queries[rows]) * unit(documents[rows])).sum(1)
    return ranks_by(cosines, own, galleries, block)


def ranks_by(
    similarities: Callable[[Ranks, Ranks], Floats], own: Floats, galleries: Array, block: int = ROWS_AT_ONCE
) -> Ranks:
    """Return :func:`ranks` by any similarity.

    ``similarities(rows, columns)`` gives the block (rows, columns) of query by document, ``own`` (N,) that of each
    query with its own document.

    >>> table = np.array([[0.9, 0.9], [0.1, 0.3]])
    >>> ranks_by(lambda rows, columns: table[np.ix_(rows, columns)], table.diagonal(), np.array([0, 0])).tolist()
    [2, 1]

    Raises:
        ValueError: not one gallery for each query.

    """
    if galleries.shape != own.shape or galleries.dtype.kind not in "iu":
        raise ValueError(f"found galleries {galleries.shape} of type {galleries.dtype}, expected {own.shape} integers")
    found = np.zeros(len(own), np.int64)
    for members in _members(galleries):
        for rows in _blocks(members, block):
            least = own[rows, None] - TIE
            for columns in _blocks(members, 4 * block):
                found[rows] += (similarities(rows, columns) >= least).sum(1)
    return found


def unit(vectors: Array) -> Floats:
    """Return the rows of ``vectors`` (N, D) with length 1; rows of zeros stay so.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0), np.float64)


def reciprocal_rank(ranks: Ranks) -> Floats:
    """Return 1 / rank for each query; the mean of them is the MRR.

    Source: Voorhees 1999, The TREC-8 Question Answering Track Report, https://trec.nist.gov/pubs/trec8/papers/qa_report.pdf

    >>> reciprocal_rank(np.array([1, 4])).tolist()
    [1.0, 0.25]
    """
    return np.asarray(1.0 / ranks, np.float64)


def recall_at(ranks: Ranks, k: int) -> Floats:
    """Return 1.0 for each query whose document is among the first ``k``, else 0.0; the mean of them is R@k.

    >>> recall_at(np.array([1, 4, 10]), 4).tolist()
    [1.0, 1.0, 0.0]
    """
    return (ranks <= k).astype(np.float64)


def ndcg_at(ranks: Ranks, k: int) -> Floats:
    """Return 1 / log2(1 + rank) for each query whose document is among the first ``k``, else 0.0: nDCG@k.

    With one relevant document the ideal gain is 1, so nothing is left to divide by.
    Source: Järvelin and Kekäläinen 2002, https://doi.org/10.1145/582415.582418

    >>> ndcg_at(np.array([1, 3, 11]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


def spearman(predicted: Array, given: Array) -> float:
    """Return Spearman's rank correlation of two arrays (N,): Pearson's of their ranks, ties at their mean rank.

    Source: Spearman 1904, https://doi.org/10.2307/1412159

    >>> round(spearman(np.array([0.1, 0.5, 0.4, 0.9]), np.array([0, 3, 4, 5])), 6)
    0.8

    Raises:
        ValueError: shapes that differ, a value that isn't finite, or an array that is constant and so has no order.

    """
    if predicted.shape != given.shape or predicted.ndim != 1:
        raise ValueError(f"found scores of shapes {predicted.shape} and {given.shape}, expected (N,) twice")
    if not (np.isfinite(predicted).all() and np.isfinite(given).all()):
        raise ValueError("found a score that is not finite")
    first, second = (_centred_ranks(values) for values in (predicted, given))
    lengths = float(np.sqrt((first @ first) * (second @ second)))
    if lengths == 0:
        raise ValueError(f"found {len(given)} scores that are all the same, expected an order")
    return float(first @ second) / lengths


def spearman_parts(predicted: Array, given: Array) -> Floats:
    """Return each pair's part (N,) in Spearman's rank correlation: their mean is the correlation.

    With z the standardised ranks of both, part i is rho + x_i y_i - rho (x_i^2 + y_i^2) / 2 for x, y = z. So the
    parts vary as the correlation itself does when a pair is added or left out (its influence function, Devlin,
    Gnanadesikan and Kettenring 1975, https://doi.org/10.1093/biomet/62.3.531), and a mean's interval fits them.

    >>> parts = spearman_parts(np.array([0.1, 0.5, 0.4, 0.9]), np.array([0, 3, 4, 5]))
    >>> round(float(parts.mean()), 6)
    0.8

    Raises:
        ValueError: as in :func:`spearman`.

    """
    rho = spearman(predicted, given)
    first, second = (_centred_ranks(values) for values in (predicted, given))
    x, y = (ranks / np.sqrt((ranks @ ranks) / len(ranks)) for ranks in (first, second))
    return np.asarray(rho + x * y - rho * (x**2 + y**2) / 2, np.float64)


def _centred_ranks(values: Array) -> Floats:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # of each distinct value, so the mean rank is (first + last) / 2
    mean_ranks = last - (counts - 1) / 2
    centred: Floats = mean_ranks[which] - (len(values) + 1) / 2
    return centred


def _members(galleries: Array) -> list[Ranks]:
    order = np.argsort(galleries, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(galleries[order])) + 1)


def _blocks(rows: Ranks, size: int) -> Iterator[Ranks]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
