"""Which rows of a table stand for others, so that a smaller one takes its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1024  # rows whose cosines to all others are held at a time


def nearest_kept(rows: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """For each row (V, D) its place among those that are ``kept`` (V,): its own, or that of the kept row nearest to it.

    Nearest by the cosine; of equals the first.

    Of the rows (1, 0), (0, 1) and (3, 1) the first two stay, and the third is more like the first:

    >>> rows = np.array([[1, 0], [0, 1], [3, 1]], np.float32)
    >>> nearest_kept(rows, np.array([True, True, False])).tolist()
    [0, 1, 0]

    Raises:
        ValueError: no row is kept.

    """
    if not kept.any():
        raise ValueError("found no row that is kept, expected one at least")
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    places = (np.cumsum(kept) - 1).astype(np.int32)
    others = np.flatnonzero(~kept)
    for start in range(0, len(others), AT_ONCE):
        part = others[start : start + AT_ONCE]
        places[part] = (unit[part] @ unit[kept].T).argmax(1)
    return places
