"""What a classifier's probabilities are worth: calibration, and whether they tell known inputs from foreign ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
HALVINGS = 40  # of an interval of log(400): what is left is 5e-12


def probabilities(logits: Array, temperature: float = 1.0) -> Floats:
    """Return softmax(logits / temperature) of each row of ``logits`` (N, classes).

    >>> probabilities(np.array([[0.0, math.log(9.0)]]), temperature=2.0).round(6).tolist()
    [[0.25, 0.75]]

    Raises:
        ValueError: another shape, a logit that isn't finite, or a temperature that isn't positive.

    """
    return np.asarray(np.exp(_log_probabilities(logits, temperature)), np.float64)


def confidence(logits: Array, temperature: float = 1.0) -> Floats:
    """Return each row's largest probability, of ``logits`` (N, classes).

    >>> confidence(np.array([[0.0, math.log(9.0)]])).round(6).tolist()
    [0.9]
    """
    return np.asarray(probabilities(logits, temperature).max(1), np.float64)


def negative_log_likelihood(logits: Array, labels: Array, temperature: float = 1.0) -> float:
    """Return the mean of -ln softmax(logits / temperature)[label] over the rows of ``logits`` (N, classes), in nats.

    >>> round(negative_log_likelihood(np.array([[0.0, math.log(9.0)]]), np.array([1])), 6)
    0.105361

    Raises:
        ValueError: as in :func:`probabilities`; or labels that don't fit the logits.

    """
    _refuse_labels(logits, labels)
    return -float(_log_probabilities(logits, temperature)[np.arange(len(labels)), labels].mean())


def expected_calibration_error(logits: Array, labels: Array, bins: int = 15) -> float:
    """Return how far confidence is from accuracy: sum over bins of n_b / N * |accuracy_b - mean confidence_b|.

    The rows of ``logits`` (N, classes) are sorted by their largest probability and cut into ``bins`` of equal mass:
    N // bins rows each, one more in the first N % bins. Rows of the same confidence each count with
    their mean accuracy, so that a tie across a bin's edge doesn't make the result depend on the order of the rows.

    0 is perfect, but few rows never show it: with n rows of accuracy p, a perfectly calibrated model is expected at
    about sqrt(2 bins p (1 - p) / (pi n)), which is 0.029 for 1,000 rows at 0.9.
    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599; equal mass: Nguyen and O'Connor 2015,
    https://arxiv.org/abs/1508.05154; why it errs less than equal width: Roelofs et al. 2022,
    https://arxiv.org/abs/2012.08668

    >>> logits = np.log(np.array([[0.6, 0.4], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9]]))
    >>> round(expected_calibration_error(logits, np.array([0, 0, 1, 1]), bins=2), 6)
    0.1

    Raises:
        ValueError: as in :func:`negative_log_likelihood`; or fewer than 1 bin.

    """
    _refuse_labels(logits, labels)
    if bins < 1:
        raise ValueError(f"found {bins} bins, expected at least 1")
    sure = confidence(logits).round(12)  # the same logits may differ in the last bits at another row
    surplus = np.sort(sure) - _accuracy_by_confidence(sure, logits.argmax(1) == labels)
    return math.fsum(abs(float(part.sum())) for part in np.array_split(surplus, bins)) / len(sure)


def fit_temperature(logits: Array, labels: Array) -> float:
    """Return the temperature in [0.05, 20] with the least :func:`negative_log_likelihood`.

    That is convex in b = 1 / temperature, with the slope mean(sum_c softmax(b z)_c z_c - z_label): where it changes its
    sign is found by halving the interval of log b. Logits that are right on every row end at 0.05, and logits
    that say nothing of the labels at 20. Logits without any differences fit every temperature: 1.
    Fit it on rows that are neither trained on nor tested on, and last: quantization changes it.
    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599

    >>> logits = np.log(np.array([[0.5, 0.5], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]]))
    >>> round(fit_temperature(logits, np.array([0, 0, 1, 1, 1])), 4)  # (0.8 / 0.2) ** (1 / T) = 3
    1.2619

    Raises:
        ValueError: as in :func:`negative_log_likelihood`.

    """
    _refuse_labels(logits, labels)
    gaps = _gaps(logits)
    if not gaps.any():
        return 1.0
    low, high = -math.log(HIGHEST_TEMPERATURE), -math.log(LOWEST_TEMPERATURE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(gaps, labels, math.exp(middle)) < 0 else (low, middle)
    return min(HIGHEST_TEMPERATURE, max(LOWEST_TEMPERATURE, math.exp(-(low + high) / 2)))


def auroc(inside: Array, outside: Array) -> float:
    """Return the probability that a row from inside the domain has more confidence than one from outside; ties half.

    It is the area under the ROC curve, by the Mann-Whitney statistic: 1 tells them apart, 0.5 is chance.
    Arrays (N,) and (M,); O((N + M) log M). Source: Hendrycks and Gimpel 2017, https://arxiv.org/abs/1610.02136

    >>> auroc(np.array([0.9, 0.8, 0.6]), np.array([0.7, 0.6]))
    0.75

    Raises:
        ValueError: an empty side, or a value that is NaN.

    """
    if not (inside.size and outside.size) or np.isnan(inside).any() or np.isnan(outside).any():
        raise ValueError(f"found {inside.size} and {outside.size} values, expected some of both and no NaN")
    ordered = np.sort(outside, axis=None)
    below, not_above = (int(np.searchsorted(ordered, inside.ravel(), side).sum()) for side in ("left", "right"))
    return (below + not_above) / (2 * inside.size * outside.size)


def _log_probabilities(logits: Array, temperature: float) -> Floats:
    if not 0 < temperature < math.inf:
        raise ValueError(f"found a temperature of {temperature}, expected a positive number")
    scaled = _gaps(logits) / temperature
    return np.asarray(scaled - np.log(np.exp(scaled).sum(1, keepdims=True)), np.float64)


def _gaps(logits: Array) -> Floats:
    """Return the logits less the largest of their row, which keeps exp from overflowing."""
    _refuse_logits(logits)
    exact = logits.astype(np.float64)
    return np.asarray(exact - exact.max(1, keepdims=True), np.float64)


def _refuse_logits(logits: Array) -> None:
    if logits.ndim != 2 or not logits.size or not np.isfinite(logits).all():
        raise ValueError(f"found logits of shape {logits.shape}, expected (N, classes), N >= 1, and all of them finite")


def _refuse_labels(logits: Array, labels: Array) -> None:
    _refuse_logits(logits)
    if labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(f"found labels {labels.shape} of type {labels.dtype}, expected {logits.shape[:1]} integers")
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise ValueError(f"found labels from {labels.min()} to {labels.max()}, expected 0 to {logits.shape[1] - 1}")


def _accuracy_by_confidence(sure: Floats, right: npt.NDArray[np.bool_]) -> Floats:
    """Return the mean accuracy of each row's confidence, in ascending order of confidence."""
    _, which, counts = np.unique(sure, return_inverse=True, return_counts=True)
    accuracy = np.bincount(which, weights=right) / counts
    return np.repeat(accuracy, counts)


def _slope(gaps: Floats, labels: Array, inverse_temperature: float) -> float:
    """Return the derivative of the mean negative log likelihood by the inverse temperature."""
    expected = (probabilities(gaps, 1 / inverse_temperature) * gaps).sum(1)
    return float((expected - gaps[np.arange(len(labels)), labels]).mean())
