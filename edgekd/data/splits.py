"""Which training rows are fitted, which are kept for choosing, and which calibrate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekd.errors import BadInputError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Disjoint rows of the training split, in ascending order."""

    fit: Rows
    selection: Rows


def stratified(labels: npt.NDArray[np.int64], count: int, classes: int, seed: int) -> Rows:
    """Draw about ``count`` rows, the same number of each class, ascending.

    Raises:
        BadInputError: a class has too few rows.

    """
    generator = np.random.default_rng(seed)
    share = -(-count // classes)
    rows = []
    for label in range(classes):
        have = np.flatnonzero(labels == label)
        if len(have) < share:
            raise BadInputError(
                f"training split: found {len(have)} images of class {label}, expected at least {share} "
                f"for a stratified set of {count}",
                "add images of that class, or ask for fewer ([data] selection, calibration_samples)",
            )
        rows.append(generator.permutation(have)[:share])
    return np.sort(np.concatenate(rows))


def split_training(labels: npt.NDArray[np.int64], selection: int, classes: int, seed: int) -> TrainingRows:
    """Keep ``selection`` rows for choosing (progress, calibration methods); the rest is fitted."""
    chosen = stratified(labels, selection, classes, seed)
    fit = np.setdiff1d(np.arange(len(labels)), chosen)
    if len(fit) == 0:
        raise BadInputError(f"training split: found {len(labels)} images, all of which are kept for selection")
    return TrainingRows(fit, chosen)
