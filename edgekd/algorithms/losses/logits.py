"""Losses between logits: student and teacher (B, classes) in, one scalar out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.algorithms.losses.labels import UNLABELLED

FLAT = 1e-6  # of a vector's length: what is left of it without its mean is then rounding


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Temperature-softened divergence of the student from the teacher, logits (B, classes).

    T² · KL(softmax(teacher / T) ‖ softmax(student / T)), mean over the batch. T² keeps the gradient's size
    independent of T. Hinton, Vinyals, Dean, 'Distilling the Knowledge in a Neural Network',
    https://arxiv.org/abs/1503.02531

    Logits (2, 0) and (0, 0) at T = 1: KL((0.8808, 0.1192) ‖ (0.5, 0.5)) = 0.3278.

    >>> import torch
    >>> round(distillation(torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]]), 1.0).item(), 4)
    0.3278
    """
    log_student = functional.log_softmax(student / temperature, dim=1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * _divergence(log_student, log_teacher)


def standardize(logits: Tensor, epsilon: float = 1e-7) -> Tensor:
    """Z-score each row of (B, classes): (x - mean) / (standard deviation + epsilon), to match the logits' pattern only.

    Sun et al., 'Logit Standardization in Knowledge Distillation', CVPR 2024, https://arxiv.org/abs/2403.01427
    The standard deviation has the n - 1 denominator, as in the paper. A row without any spread becomes zeros, and its
    gradient isn't divided by epsilon: a student whose last layer begins with zeros would be thrown off by it.

    >>> import torch
    >>> standardize(torch.tensor([[1.0, 2.0, 3.0]])).round(decimals=4).tolist()
    [[-1.0, 0.0, 1.0]]
    """
    centred = logits - logits.mean(1, keepdim=True)
    spread = logits.std(1, keepdim=True, correction=min(1, logits.shape[1] - 1))
    return centred / torch.where(spread > 0, spread + epsilon, 1.0)


def dist(student: Tensor, teacher: Tensor, temperature: float = 1.0, inter: float = 1.0, intra: float = 1.0) -> Tensor:
    """DIST: class probabilities that correlate with the teacher's, along rows and along columns; logits (B, classes).

    With Y = softmax(logits / T) and Pearson's correlation rho,
    inter · mean_i (1 - rho(Y_i:, teacher's Y_i:)) + intra · mean_c (1 - rho(Y_:c, teacher's Y_:c)).
    Huang et al., 'Knowledge Distillation from A Stronger Teacher', https://arxiv.org/abs/2205.10536

    Rows and columns in which the teacher is constant have no correlation and are left out, so a batch of one row has
    no intra term. The authors' code also multiplies by T²; the paper doesn't, and a correlation does not shrink with T.

    Probabilities (0.8, 0.2), (0.4, 0.6) of the teacher and (0.6, 0.4), (0.7, 0.3) of the student: with two classes
    every correlation is 1 or -1. Row 1 agrees and row 2 doesn't: inter 1. Both columns run against the teacher's:
    intra 2.

    >>> import torch
    >>> student = torch.tensor([[0.6, 0.4], [0.7, 0.3]]).log()
    >>> round(dist(student, torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log()).item(), 4)
    3.0
    """
    ours, theirs = (functional.softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return inter * _uncorrelated(ours, theirs) + intra * _uncorrelated(ours.T, theirs.T)


def decoupled(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    alpha: float = 1.0,
    beta: float = 8.0,
) -> Tensor:
    """DKD: the softened divergence in two parts, logits (B, classes), labels (B,).

    T² · (alpha · KL(b teacher ‖ b student) + beta · KL(q teacher ‖ q student)), mean over the rows with a label:
    b = (probability of the label, of all others together), q = the probabilities of the others among themselves.
    Plain distillation is alpha = 1 and beta = the teacher's probability of the others, row by row.
    Zhao et al., 'Decoupled Knowledge Distillation', https://arxiv.org/abs/2203.08679

    Rows labelled -1 are left out; without any other row, or with one class, it gives 0. With two classes q is (1),
    so beta has nothing to weigh, and alpha · KL is the plain divergence.

    Teacher (0.5, 0.25, 0.25), student (0.25, 0.5, 0.25), label 0, T = 1: b = (0.5, 0.5) against (0.25, 0.75) gives
    0.1438; q = (0.5, 0.5) against (2/3, 1/3) gives 0.0589.

    >>> import torch
    >>> pair = torch.tensor([[0.25, 0.5, 0.25]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
    >>> [round(decoupled(*pair, torch.tensor([0]), 1.0, *weights).item(), 4) for weights in ((1, 0), (0, 1), (1, 8))]
    [0.1438, 0.0589, 0.615]
    """
    rows = labels != UNLABELLED
    classes = student.shape[1]
    if classes < 2:
        return (student * 0).sum()
    (b_student, q_student), (b_teacher, q_teacher) = (
        _split(logits[rows] / temperature, labels[rows]) for logits in (student, teacher)
    )
    target, others = _divergence(b_student, b_teacher), _divergence(q_student, q_teacher)
    return temperature**2 * (alpha * target + beta * others)


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the label's and the others' probability (B, 2), and of the others among themselves (B, C - 1)."""
    is_label = functional.one_hot(labels, logits.shape[1]).bool()
    probabilities = functional.log_softmax(logits, dim=1)
    label = probabilities[is_label].unsqueeze(1)
    others = probabilities[~is_label].view(len(logits), logits.shape[1] - 1)
    together = others.logsumexp(1, keepdim=True)  # not log(1 - p), which is lost where the label is certain
    return torch.cat([label, together], dim=1), others - together


def _divergence(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    """KL(teacher ‖ student) of logarithms of probabilities (B, n), mean over the rows; 0 without any."""
    total = functional.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return total / max(len(log_student), 1)


def _uncorrelated(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus Pearson's correlation of the rows, mean over the rows in which the teacher isn't constant."""
    (ours, _), (theirs, varies) = _direction(student), _direction(teacher)
    distances = 1 - (ours * theirs).sum(1)
    return torch.where(varies, distances, 0.0).sum() / varies.sum().clamp_min(1)


def _direction(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Each row without its mean at length 1, and whether it had a length worth the name."""
    centred = rows - rows.mean(1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    varies = lengths > FLAT * rows.norm(dim=1, keepdim=True)
    return centred / torch.where(varies, lengths, 1.0), varies.squeeze(1)
