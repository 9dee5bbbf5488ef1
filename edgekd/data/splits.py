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


def stratified(labels: npt.NDArray[np.int64], count: int, classes: int, seed: int, noun: str = "images") -> Rows:
    """Draw about ``count`` rows, the same number of each class, ascending; a label of -1 is never drawn.

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
                f"training split: found {len(have)} {noun} of class {label}, expected at least {share} "
                f"for a stratified set of {count}",
                f"add {noun} of that class, or ask for fewer ([data] selection, calibration_samples)",
            )
        rows.append(generator.permutation(have)[:share])
    return np.sort(np.concatenate(rows))


def split_training(
    labels: npt.NDArray[np.int64], selection: int, classes: int, seed: int, noun: str = "images"
) -> TrainingRows:
    """Keep ``selection`` rows for choosing (progress, calibration methods); the rest is fitted."""
    chosen = stratified(labels, selection, classes, seed, noun)
    fit = np.setdiff1d(np.arange(len(labels)), chosen)
    if len(fit) == 0:
        raise BadInputError(f"training split: found {len(labels)} {noun}, all of which are kept for selection")
    return TrainingRows(fit, chosen)


def random_split(count: int, selection: int, seed: int) -> TrainingRows:
    """Keep ``selection`` of ``count`` rows without labels for choosing, drawn at random; the rest is fitted.

    >>> rows = random_split(5, 2, seed=0)
    >>> len(rows.selection), sorted([*rows.fit.tolist(), *rows.selection.tolist()])
    (2, [0, 1, 2, 3, 4])

    Raises:
        BadInputError: nothing would be left to fit.

    """
    if not 1 <= selection < count:
        raise BadInputError(
            f"training split: found {count} rows, of which {selection} are kept for selection",
            "add rows, or keep fewer ([data] selection)",
        )
    chosen = np.random.default_rng(seed).permutation(count)[:selection]
    return TrainingRows(np.setdiff1d(np.arange(count), chosen), np.sort(chosen))
