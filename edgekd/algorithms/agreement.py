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
    a, b = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = np.divide((a * b).sum(1), norms, out=np.zeros(len(a)), where=norms > 0)
    return Agreement(
        float((a.argmax(1) == b.argmax(1)).mean()), float(cosine.mean()), float(np.abs(a - b).max(initial=0.0))
    )
