"""Quality of a classifier class by class, and which classes two models differ on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Classes = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What a second model does to one class that a first model knows.

    ``lost`` rows only the first gets right, ``gained`` rows only the second. ``p_value`` is McNemar's exact two-sided
    one, ``p_adjusted`` the same after Holm's correction for all classes with rows. Recalls are None without rows.
    """

    label: int
    count: int
    first_recall: float | None
    second_recall: float | None
    lost: int
    gained: int
    p_value: float
    p_adjusted: float

    def is_loss(self, alpha: float = 0.05) -> bool:
        """Whether the second model is worse on this class, significantly so among all classes together."""
        return self.lost > self.gained and self.p_adjusted < alpha


def macro_f1(predicted: Classes, labels: Classes, classes: int) -> float:
    """Return the mean over classes of F1 = 2 TP / (2 TP + FP + FN), each class counting the same.

    A class that is neither among the labels nor predicted is left out, as in scikit-learn. Arrays are (N,) integers.
    Source: the mean of F1 scores, not F1 of means, in Opitz and Burst 2019, https://arxiv.org/abs/1911.03347

    >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), classes=3), 6)  # of 2/3 and 4/5
    0.733333

    Raises:
        ValueError: shapes that differ, no rows, or a number that names no class.

    """
    hits, predictions, rows = _counts(predicted, labels, classes)
    seen = predictions + rows > 0
    return float((2 * hits[seen] / (predictions + rows)[seen]).mean())


def per_class_recall(predicted: Classes, labels: Classes, classes: int) -> Floats:
    """Return the share of each class's rows that are predicted as it, (classes,); NaN for a class without rows.

    >>> per_class_recall(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), classes=3).round(6).tolist()
    [1.0, 0.666667, nan]

    Raises:
        ValueError: as in :func:`macro_f1`.

    """
    hits, _, rows = _counts(predicted, labels, classes)
    return np.asarray(np.divide(hits, rows, out=np.full(classes, np.nan), where=rows > 0), np.float64)


def per_class_change(first: Classes, second: Classes, labels: Classes, classes: int) -> tuple[ClassChange, ...]:
    """Return, for each class, what changes from the predictions ``first`` to ``second`` of the same rows, arrays (N,).

    A model can keep its accuracy and lose a rare class: Hooker et al. 2019, https://arxiv.org/abs/1911.05248

    >>> labels = np.array([0] * 8 + [1] * 2)
    >>> lost = per_class_change(labels, np.ones(10, int), labels, classes=2)[0]
    >>> lost.lost, lost.second_recall, lost.p_value, lost.p_adjusted, lost.is_loss()
    (8, 0.0, 0.0078125, 0.015625, True)

    Raises:
        ValueError: as in :func:`macro_f1`.

    """
    _, _, rows = _counts(first, labels, classes)
    recalls = [_or_none(per_class_recall(predicted, labels, classes)) for predicted in (first, second)]
    lost, gained = (
        np.bincount(labels[only], minlength=classes)
        for only in ((first == labels) & (second != labels), (first != labels) & (second == labels))
    )
    raw = [mcnemar(int(losses), int(gains)) for losses, gains in zip(lost, gained, strict=True)]
    known = np.flatnonzero(rows)
    adjusted = dict(zip(known.tolist(), holm([raw[label] for label in known]), strict=True))
    return tuple(
        ClassChange(
            label,
            int(rows[label]),
            recalls[0][label],
            recalls[1][label],
            int(lost[label]),
            int(gained[label]),
            raw[label],
            adjusted.get(label, 1.0),
        )
        for label in range(classes)
    )


def mcnemar(lost: int, gained: int) -> float:
    """Return the exact two-sided p-value for as uneven a split of the rows on which only one of two models is right.

    min(1, 2 P(X <= min(lost, gained))) with X binomial of lost + gained throws at 1/2.
    Source: McNemar 1947, https://doi.org/10.1007/BF02295996

    >>> mcnemar(9, 1), mcnemar(3, 3), mcnemar(0, 0)
    (0.021484375, 1.0, 1.0)
    """
    throws, ways, term = lost + gained, 0, 1  # whole numbers, so nothing is rounded
    for successes in range(min(lost, gained) + 1):
        ways += term
        term = term * (throws - successes) // (successes + 1)
    return min(1.0, 2 * ways / (1 << throws))


def holm(p_values: list[float]) -> list[float]:
    """Return p-values adjusted so that all below alpha together have at most alpha chance of one false one.

    The i-th smallest of m becomes the largest of (m - j + 1) p_j over j <= i, at most 1.
    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure, https://www.jstor.org/stable/4615733

    >>> [round(p, 6) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _or_none(shares: Floats) -> list[float | None]:
    return [None if np.isnan(share) else float(share) for share in shares]


def _counts(
    predicted: Classes, labels: Classes, classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return hits, predictions and rows of each class."""
    if predicted.shape != labels.shape or labels.ndim != 1 or not labels.size:
        raise ValueError(f"found predictions {predicted.shape} and labels {labels.shape}, expected (N,) twice, N >= 1")
    for numbers in (predicted, labels):
        if numbers.dtype.kind not in "iu" or not 0 <= numbers.min() <= numbers.max() < classes:
            raise ValueError(
                f"found class numbers of type {numbers.dtype} from {numbers.min()} to {numbers.max()}, "
                f"expected integers from 0 to {classes - 1}"
            )
    return (
        np.bincount(labels[predicted == labels], minlength=classes),
        np.bincount(predicted, minlength=classes),
        np.bincount(labels, minlength=classes),
    )
