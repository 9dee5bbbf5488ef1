"""Losses between the vectors of student and teacher."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edgekd.objectives.base import Available, LossConfig, Need, Objective
from edgekd.objectives.schedule import Temperature


def _each_once(widths: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(widths)) < len(widths):
        raise ValueError("expected each width once")
    return widths


class VectorsConfig(LossConfig):
    """A loss that can also be taken of the first few dimensions, beside all of them (Matryoshka)."""

    widths: Annotated[tuple[Annotated[int, Field(ge=1, strict=True)], ...], AfterValidator(_each_once)] = ()


class WarmVectorsConfig(VectorsConfig):
    """The same with a softmax over the other rows of the batch."""

    temperature: Temperature = 0.05


class ContrastiveConfig(LossConfig):
    """Each row's own teacher vector against those of the other rows."""

    temperature: Temperature = 0.05


def _too_wide(config: VectorsConfig, available: Available) -> str:
    if available.student_width is None or max(config.widths, default=1) <= available.student_width:
        return ""
    return (
        f"found the width {max(config.widths)} in 'widths', "
        f"expected at most the {available.student_width} dimensions of the student's vectors"
    )


def _unequal(config: VectorsConfig, available: Available) -> str:
    student, teacher = available.student_width, available.teacher_width
    if student is None or teacher is None or student == teacher:
        return _too_wide(config, available)
    return (
        f"found a student with {student} dimensions and a teacher with {teacher}, expected as many: coordinates are "
        "compared one by one; 'similarity-mse', 'similarity-kl', 'neighbours' and 'contrastive' work with both widths"
    )


NEEDS = frozenset({Need.VECTORS})

OBJECTIVES = {
    "mse": Objective("squared distance to the teacher's vector", VectorsConfig, NEEDS, _unequal),
    "cosine": Objective("one minus the cosine to the teacher's vector", VectorsConfig, NEEDS, _unequal),
    "similarity-mse": Objective("similarities within a batch, squared error", VectorsConfig, NEEDS, _too_wide),
    "similarity-kl": Objective("similarities within a batch, divergence", WarmVectorsConfig, NEEDS, _too_wide),
    "neighbours": Objective("the teacher's nearest neighbour in the batch", WarmVectorsConfig, NEEDS, _too_wide),
    "contrastive": Objective("the own teacher vector among all in the batch", ContrastiveConfig, NEEDS),
}
