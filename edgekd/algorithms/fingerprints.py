"""Find a tensor again by what it holds, whatever it is called and however it is laid out in another file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

POINTS = 257  # order statistics of a tensor that are compared
ALIKE = 1e-3  # of a tensor's span; the same network in two runtimes differs by 1e-5 or less

Floats = npt.NDArray[np.float64]


def fingerprint(values: npt.NDArray[Any]) -> Floats:
    """Return evenly spaced order statistics (257,) of ``values``, from the least to the greatest.

    They don't depend on the order of the values, so NCHW and NHWC have the same.

    >>> first = np.arange(600.0).reshape(2, 3, 100)
    >>> bool((fingerprint(first) == fingerprint(first.transpose(2, 0, 1))).all())
    True
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=None)
    return ordered[np.linspace(0, len(ordered) - 1, POINTS).round().astype(np.int64)]


def matches(known: npt.NDArray[Any], found: Mapping[str, npt.NDArray[Any]], alike: float = ALIKE) -> dict[str, int]:
    """Return for each of ``found`` (K,) which of the fingerprints ``known`` (S, K) it has, if it has one.

    Two are the same if they differ nowhere by more than ``alike`` of the span of the known one; of several, the
    nearest is taken. Two tensors that can't be told from each other so have the same range anyway.

    >>> known = np.array([[0.0, 1.0, 2.0], [0.0, 1.5, 2.0]])
    >>> matches(known, {"a": np.array([0.0, 1.4999, 2.0]), "b": np.array([0.0, 1.2, 2.0])})
    {'a': 1}
    """
    spans = np.maximum(np.ptp(known, axis=1), np.abs(known).max(axis=1))
    made = {}
    for name, points in found.items():
        with np.errstate(over="ignore"):  # beside a tensor of zeros
            apart = np.abs(known - points).max(axis=1) / np.maximum(spans, np.finfo(np.float64).tiny)
        best = int(np.argmin(apart))
        if apart[best] <= alike:
            made[name] = best
    return made
