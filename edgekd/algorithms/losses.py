"""Distillation losses: logits in (N, classes), one scalar out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Temperature-softened divergence of the student from the teacher.

    T² · KL(softmax(teacher / T) ‖ softmax(student / T)), mean over the batch. T² keeps the gradient's size
    independent of T. Hinton, Vinyals, Dean, 'Distilling the Knowledge in a Neural Network',
    https://arxiv.org/abs/1503.02531.

    Logits (2, 0) and (0, 0) at T = 1: KL((0.8808, 0.1192) ‖ (0.5, 0.5)) = 0.3278.
    """
    log_student = functional.log_softmax(student / temperature, dim=1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def standardize(logits: Tensor, epsilon: float = 1e-7) -> Tensor:
    """Z-score each row: (x - mean) / (standard deviation + epsilon), so that only the logits' pattern is matched.

    Sun et al., 'Logit Standardization in Knowledge Distillation', CVPR 2024, https://arxiv.org/abs/2403.01427.
    The standard deviation has the n - 1 denominator, as in the paper. (1, 2, 3) -> (-1, 0, 1).
    """
    centred = logits - logits.mean(1, keepdim=True)
    return centred / (logits.std(1, keepdim=True) + epsilon)


@dataclass(frozen=True, slots=True)
class LossTerms:
    """Weight and temperature of the teacher's term, and whether logits are z-scored first."""

    alpha: float
    temperature: float
    standardized: bool


def student_loss(student: Tensor, teacher: Tensor, labels: Tensor, terms: LossTerms) -> Tensor:
    """Alpha · distillation + (1 - alpha) · cross-entropy to the labels; alpha = 0 never looks at the teacher."""
    supervised = functional.cross_entropy(student, labels)
    if terms.alpha == 0:
        return supervised
    if terms.standardized:
        student, teacher = standardize(student), standardize(teacher)
    return terms.alpha * distillation(student, teacher, terms.temperature) + (1 - terms.alpha) * supervised
