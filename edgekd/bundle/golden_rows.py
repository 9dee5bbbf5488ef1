"""Which test rows become golden vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def golden_rows(count: int, labels: Labels | None, wanted: int, seed: int) -> list[int]:
    """``wanted`` rows of ``count``, drawn by ``seed``, as many of each label as can be; fewer where there are fewer.

    >>> golden_rows(6, np.array([0, 0, 0, 0, 0, 1]), 2, seed=1)
    [4, 5]
    """
    drawn = np.random.default_rng(seed).permutation(count)
    if labels is not None:
        rank = np.empty(count, np.int64)  # of each drawn row among those of its label
        for label in np.unique(labels):
            same = labels[drawn] == label
            rank[same] = np.arange(same.sum())
        drawn = drawn[np.argsort(rank, kind="stable")]
    return sorted(int(row) for row in drawn[:wanted])
