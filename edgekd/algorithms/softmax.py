"""Undo a softmax: logits out of the probabilities that some teachers give."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEAST_WRITTEN = 1e-6  # what a probability of 0 counts as where somebody wrote it down
LEAST_COMPUTED = float(np.finfo(np.float32).tiny)  # the same where a network's last layer gave it
SUM_TOLERANCE = 0.05  # how far written probabilities may sum from 1: they are rounded
ROUNDING = 1e-3  # the same for a network's, which float16 rounds at most


def logits(probabilities: Array, least: float = LEAST_WRITTEN) -> npt.NDArray[np.float32]:
    """Return ln(max(p, least)) of probabilities (N, classes): logits whose softmax they are.

    A softmax has no inverse, since a constant can be added to a row's logits; this is the one whose exponentials sum
    to 1. Losses on softmax or on z-scores don't see the constant. What ``least`` cuts off is lost.

    >>> [round(float(each), 2) for each in logits(np.array([[0.5, 0.5, 0.0]]))[0]]
    [-0.69, -0.69, -13.82]
    """
    return np.log(np.maximum(probabilities, least)).astype(np.float32)


def improbable(values: Array, tolerance: float = SUM_TOLERANCE) -> npt.NDArray[np.bool_]:
    """Which rows of ``values`` (N, classes) are no probabilities: a negative one, or a sum that isn't 1.

    >>> improbable(np.array([[0.3, 0.7], [0.3, 0.3], [-0.5, 1.5]])).tolist()
    [False, True, True]
    """
    return np.asarray((values < -ROUNDING).any(1) | ~(np.abs(values.sum(1) - 1) <= tolerance))


def is_softmax(outputs: Array) -> bool:
    """Whether outputs (N, classes) are all probabilities, as those of a network that ends with a softmax.

    >>> is_softmax(np.array([[0.25, 0.75], [1.0, 0.0]])), is_softmax(np.array([[0.25, 0.75], [2.0, -1.0]]))
    (True, False)
    """
    return outputs.ndim == 2 and outputs.shape[1] > 1 and not improbable(outputs, ROUNDING).any()
