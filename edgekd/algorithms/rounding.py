"""What 8 bits cost a product of matrices, computed apart from any runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.outliers import rows_to_int8

STEPS = 255  # between the 256 levels of 8 bits
LEAST_VARIED = 1e-3  # of the mean channel
Values = npt.NDArray[Any]


def in_8_bits(values: Values, low: Any, high: Any) -> Values:
    """Return ``values`` as 256 levels from ``low`` to ``high`` show them; zero is one of the levels.

    ``low`` and ``high`` are numbers, or arrays that are broadcast to the values: (T, 1) has a range for each of T rows.

    >>> in_8_bits(np.array([0.0, 0.4, 1.6, 300.0]), 0, 255).tolist()
    [0.0, 0.0, 2.0, 255.0]
    """
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    step = np.where(high > low, (high - low) / STEPS, 1)
    zero = np.rint(-low / step)
    found: Values = (np.clip(np.rint(values / step) + zero, 0, STEPS) - zero) * step
    return found


def columns_in_8_bits(weights: Values) -> Values:
    """Return ``weights`` (K, N) rounded to 8 bits with a step for each column.

    >>> columns_in_8_bits(np.float32([[127, 1.27], [0.4, 0.014]])).round(2).tolist()
    [[127.0, 1.2699999809265137], [0.0, 0.009999999776482582]]
    """
    whole, steps = rows_to_int8(weights.T)
    found: Values = (whole * steps).T
    return found


def loss_by_channel(exact: Values, found: Values) -> float:
    """Return the error of outputs (T, N) as a share of what each channel varies over T tokens: the channels' mean.

    mean_n(sum_t (found - exact)^2 / sum_t (exact - mean_t(exact))^2), where no channel counts as varying less than a
    thousandth of the mean one. A few channels of BERT-like encoders are so large
    that the error as a share of the whole tensor says nothing of all others. Over the 36 products of all-MiniLM-L6-v2,
    each alone in dynamic INT8, this ranks as the cosine of the model's outputs does with Spearman's 0.79, the share of
    the whole tensor with 0.53 (12 texts).

    >>> exact = np.array([[4.0, 1.0], [-4.0, -1.0]])
    >>> loss_by_channel(exact, exact + np.array([[1.0, 1.0], [-1.0, -1.0]]))
    0.53125
    """
    lost = np.square(found - exact).sum(axis=0)
    varied = np.square(exact - exact.mean(axis=0)).sum(axis=0)
    least = LEAST_VARIED * float(varied.mean()) or 1.0
    return float((lost / np.maximum(varied, least)).mean())
