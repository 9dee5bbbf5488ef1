"""What every loss of a pipeline says of itself before anything runs: its options and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from edgekd.objectives.schedule import Weight
from edgekd.toml_file import Frozen


class Need(StrEnum):
    """What a loss is computed from, apart from the student's own outputs."""

    LABELS = "labels"  # of at least some rows, for outputs that are logits
    LOGITS = "logits"  # student and teacher give logits over the same classes
    VECTORS = "vectors"  # student and teacher give vectors
    STATES = "states"  # hidden states of both, so a teacher that runs while the student is trained
    ATTENTION = "attention"  # attention maps of both, so a live teacher again, with eager attention


@dataclass(frozen=True, slots=True)
class Available:
    """What a pipeline has for its losses, as far as it is known before anything runs. None is not known yet."""

    kind: Literal["logits", "vectors"]
    has_labels: bool
    teacher_is_live_possible: bool  # a torch module, whose layers can be read while it runs
    attention: bool  # student and teacher have attention maps, with as many heads each
    student_width: int | None = None  # classes, or dimensions of a vector
    teacher_width: int | None = None
    same_inputs: bool = True  # both read the same tokens or pixels, so that their positions correspond


class LossConfig(Frozen):
    """The options that all losses have."""

    weight: Weight = 1.0

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The student's and the teacher's layers that are compared, in the pipeline's order."""
        return ()


def _nothing(_config: Any, _available: Available) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss that a pipeline can name.

    ``refusal`` returns why this loss with these options can't be had, beyond what ``needs`` already says, or "".
    """

    summary: str
    config: type[LossConfig]
    needs: frozenset[Need]
    refusal: Callable[[Any, Available], str] = _nothing
