"""Whether a pruned network is worth having: beside the whole one, and beside one that was small from the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.bootstrap import Resampling, difference, mean
from edgekd.algorithms.proportions import Bounds, paired_difference, paired_floor

Scores = npt.NDArray[np.float64]
Winner = Literal["pruned", "unpruned", "small"]
ONE_SIDED = Resampling(confidence=0.9)  # 95 % on either side


@dataclass(frozen=True, slots=True)
class Rival:
    """What a rival scored, and what the pruned network has more (or less): with bounds, on the same rows."""

    quality: float
    gain: Bounds  # two-sided
    floor: Bounds  # of pruned - (1 - max_drop) * rival, one-sided

    @property
    def ahead(self) -> bool:
        """Whether it is shown to be better by more than max_drop."""
        return self.floor.upper < 0


def rival(pruned: Scores, other: Scores, max_drop: float, *, hits: bool) -> Rival:
    """Compare the scores (N,) of the same rows: ``hits`` of 0 and 1, or figures such as cosines.

    >>> found = rival(np.array([1.0, 0.0] * 200), np.ones(400), 0.01, hits=True)
    >>> found.quality, found.gain.point, found.ahead
    (1.0, -0.5, True)
    """
    if hits:
        gain, floor = paired_difference(pruned, other), paired_floor(pruned, other, 1 - max_drop)
    else:
        gain = difference(mean, pruned, other)
        floor = difference(mean, pruned, other, 1 - max_drop, ONE_SIDED)
    return Rival(float(other.mean()), gain, floor)


def winner(pruned: Scores, unpruned: Scores, small: Scores, max_drop: float, *, hits: bool) -> Winner:
    """Return which network to go on with.

    Of the two that have as much work the pruned one, unless the small one is shown to be better; and that one unless
    the whole network is shown to be better by more than ``max_drop`` of its own quality. What can't be told apart
    speaks for the pruned one.

    >>> good, bad = np.ones(400), np.array([1.0, 0.0] * 200)
    >>> [winner(*each, 0.01, hits=True) for each in ((good, good, good), (bad, good, good), (bad, good, bad))]
    ['pruned', 'small', 'unpruned']
    """
    lost = rival(pruned, small, 0.0, hits=hits).ahead
    lesser: Winner = "small" if lost else "pruned"
    whole = rival(small if lost else pruned, unpruned, max_drop, hits=hits)
    return "unpruned" if whole.ahead else lesser


def rows_alike(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Scores:
    """Return for each row how alike its cosines to the other rows are in both: Pearson's correlation, (N,).

    ``first`` (N, D) and ``second`` (N, E) are vectors of the same rows, of any widths; 0 where a side's are all equal.

    >>> first = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -2.0]])
    >>> rows_alike(first, np.hstack([first, np.zeros((4, 2))])).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    both = []
    for vectors in (first, second):
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        others = (unit @ unit.T).astype(np.float64)[~np.eye(len(unit), dtype=bool)].reshape(len(unit), -1)
        both.append(others - others.mean(1, keepdims=True))
    lengths = np.linalg.norm(both[0], axis=1) * np.linalg.norm(both[1], axis=1)
    found: Scores = np.divide((both[0] * both[1]).sum(1), lengths, out=np.zeros(len(first)), where=lengths > 1e-12)
    return found
