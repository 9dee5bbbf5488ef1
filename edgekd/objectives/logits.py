"""Losses between the logits of student and teacher."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgekd.objectives.base import LossConfig, Need, Objective
from edgekd.objectives.schedule import Temperature

Coefficient = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]


class LogitsConfig(LossConfig):
    """Softened divergence, of logits as they are or z-scored."""

    temperature: Temperature = 2.0


class DistConfig(LossConfig):
    """DIST: Pearson's correlation along rows and along columns of the class probabilities."""

    temperature: Temperature = 1.0
    inter: Coefficient = 1.0  # of the correlation between classes, row by row
    intra: Coefficient = 1.0  # of the correlation within a class, over the rows of the batch


class DkdConfig(LossConfig):
    """DKD: the divergence, split into the target class and the others."""

    temperature: Temperature = 4.0
    alpha: Coefficient = 1.0  # of the target class against all others
    beta: Coefficient = 8.0  # of the pattern among the others


OBJECTIVES = {
    "logits": Objective("softened divergence from the teacher (KD)", LogitsConfig, frozenset({Need.LOGITS})),
    "z-scored-logits": Objective("the same of z-scored logits", LogitsConfig, frozenset({Need.LOGITS})),
    "dist": Objective("correlation between and within classes (DIST)", DistConfig, frozenset({Need.LOGITS})),
    "dkd": Objective("target class and others apart (DKD)", DkdConfig, frozenset({Need.LOGITS, Need.LABELS})),
}
