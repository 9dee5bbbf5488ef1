"""The teacher's term and the labels' term with one share between them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from edgekd.algorithms.losses.logits import distillation, standardize


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
