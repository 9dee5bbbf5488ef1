"""The loss that looks at the labels and not at the teacher."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgekd.objectives.base import LossConfig, Need, Objective


class LabelsConfig(LossConfig):
    """Cross-entropy to the labels."""

    smoothing: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0  # share of each label spread over all classes


OBJECTIVES = {
    "labels": Objective("cross-entropy to the labels", LabelsConfig, frozenset({Need.LABELS})),
}
