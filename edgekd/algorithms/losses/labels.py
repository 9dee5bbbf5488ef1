"""The loss that looks at labels: logits in (B, classes), one scalar out."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

UNLABELLED = -1  # the label of a row that has none


def cross_entropy(student: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the student's logits (B, classes) to ``labels`` (B,), mean over the rows that have a label.

    -Σ_c y_c log softmax(student)_c, where y is one at the label and zero elsewhere, and with a smoothing of s is
    (1 - s) y + s / classes. Rows labelled -1 are left out; a batch with no other rows gives 0.
    Smoothing: Szegedy et al., 'Rethinking the Inception Architecture', https://arxiv.org/abs/1512.00567

    Probabilities (0.75, 0.25), label 0: -ln 0.75. Smoothed by 0.2: -0.9 ln 0.75 - 0.1 ln 0.25.

    >>> import torch
    >>> logits = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()
    >>> [round(cross_entropy(logits, torch.tensor([0, -1]), smoothing).item(), 4) for smoothing in (0.0, 0.2)]
    [0.2877, 0.3975]
    """
    total = functional.cross_entropy(
        student, labels, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="sum"
    )
    return total / (labels != UNLABELLED).sum().clamp_min(1)
