"""How close one model's outputs are to another's, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share of rows with the same top-1, mean cosine, and the largest absolute difference."""

    top1: float
    cosine: float
    max_abs: float


def agreement(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Agreement:
    """Compare two arrays of outputs (N, classes) of the same rows.

    >>> agreement(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[2.0, 0.0], [2.0, 0.0]]))
    Agreement(top1=0.5, cosine=0.5, max_abs=2.0)

    Raises:
        ValueError: shapes that differ.

    """
    if first.shape != second.shape:
        raise ValueError(f"found outputs of shape {first.shape} and {second.shape}, expected the same")
    same, apart = first.argmax(1) == second.argmax(1), np.abs(first.astype(np.float64) - second)
    return Agreement(float(same.mean()), float(cosines(first, second).mean()), float(apart.max(initial=0.0)))


def cosines(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the cosine of each row of ``first`` (N, D) to that of ``second`` (N, D): (N,); 0 where a row is zero.

    >>> cosines(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[2.0, 0.0], [2.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: npt.NDArray[np.float64] = np.divide((a * b).sum(1), norms, out=np.zeros(len(a)), where=norms > 0)
    return found


def divergence(reference: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> float:
    """Return the mean Kullback-Leibler divergence of the probabilities that the logits (N, classes) stand for.

    It weighs an error by what it does to the answer, where a cosine counts that of an unlikely class as much.

    >>> logits = np.array([[0.0, 0.0], [0.0, 100.0]])
    >>> divergence(logits, logits), round(divergence(logits, np.array([[0.0, 0.0], [0.0, 0.0]])), 4)
    (0.0, 0.3466)
    """
    expected, found = (_log_probabilities(each.astype(np.float64)) for each in (reference, outputs))
    return float((np.exp(expected) * (expected - found)).sum(1).mean())


def _log_probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    below = logits - logits.max(1, keepdims=True)
    found: npt.NDArray[np.float64] = below - np.log(np.exp(below).sum(1, keepdims=True))
    return found


def alikeness(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Pearson's correlation between the cosines of all pairs of rows in ``first`` and those in ``second``.

    The two are vectors (N, D) and (N, E) of the same rows, of any widths; 0 where either side's cosines are all equal.

    >>> first = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> alikeness(first, np.hstack([first, np.zeros((3, 2))]))
    1.0
    """
    pairs = np.triu_indices(len(first), 1)
    both = []
    for vectors in (first, second):
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines = (unit @ unit.T)[pairs].astype(np.float64)
        both.append(cosines - (cosines.mean() if len(cosines) else 0.0))
    lengths = float(np.linalg.norm(both[0]) * np.linalg.norm(both[1]))
    return round(float(both[0] @ both[1]) / lengths, 12) if lengths > 1e-12 else 0.0
