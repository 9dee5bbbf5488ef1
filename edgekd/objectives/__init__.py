"""The losses that a pipeline can name, without what computes them: nothing here imports torch."""

from __future__ import annotations

from edgekd.objectives import labels, logits, states, vectors
from edgekd.objectives.base import Objective

OBJECTIVES: dict[str, Objective] = {
    **labels.OBJECTIVES,
    **logits.OBJECTIVES,
    **vectors.OBJECTIVES,
    **states.OBJECTIVES,
}
