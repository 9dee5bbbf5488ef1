"""What the losses of one batch are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

Layers = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Signals:
    """Outputs of student and teacher for one batch of B items, and what else the losses need.

    ``student`` (B, classes) or (B, D), ``teacher`` (B, classes) or (B, D'), ``labels`` (B,) with -1 for none,
    ``mask`` (B, L) with 1 at tokens. States by layer name: (B, L, C), (B, C, H, W) or (B, C). Maps by layer name:
    attention (B, heads, L, L).
    """

    student: Tensor
    teacher: Tensor | None = None
    labels: Tensor | None = None
    mask: Tensor | None = None
    student_states: Layers = field(default_factory=dict)
    teacher_states: Layers = field(default_factory=dict)
    student_maps: Layers = field(default_factory=dict)
    teacher_maps: Layers = field(default_factory=dict)

    def targets(self) -> Tensor:
        """The teacher's outputs.

        Raises:
            ValueError: there are none.

        """
        if self.teacher is None:
            raise ValueError("found no outputs of the teacher, expected them for a loss that compares with them")
        return self.teacher

    def true_labels(self) -> Tensor:
        """The labels.

        Raises:
            ValueError: there are none.

        """
        if self.labels is None:
            raise ValueError("found no labels, expected them for a loss that compares with them")
        return self.labels

    def as_targets(self) -> Signals:
        """The same in 32 bits, where similarities and softmaxes keep their digits, and no gradient to the teacher."""
        return replace(
            self,
            student=self.student.float(),
            teacher=None if self.teacher is None else self.teacher.detach().float(),
            student_states={name: states.float() for name, states in self.student_states.items()},
            teacher_states={name: states.detach().float() for name, states in self.teacher_states.items()},
            student_maps={name: maps.float() for name, maps in self.student_maps.items()},
            teacher_maps={name: maps.detach().float() for name, maps in self.teacher_maps.items()},
        )


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths of outputs, and of layers by their names: what learned projections are sized by."""

    student: int
    teacher: int | None
    student_layers: Mapping[str, int]
    teacher_layers: Mapping[str, int]

    @classmethod
    def of(cls, signals: Signals) -> Sizes:
        """Measure one batch.

        >>> import torch
        >>> Sizes.of(Signals(torch.zeros(2, 3), student_states={"stem": torch.zeros(2, 8, 4, 4)}))
        Sizes(student=3, teacher=None, student_layers={'stem': 8}, teacher_layers={})
        """
        return cls(
            signals.student.shape[1],
            None if signals.teacher is None else signals.teacher.shape[1],
            {name: states.shape[channels(states)] for name, states in signals.student_states.items()},
            {name: states.shape[channels(states)] for name, states in signals.teacher_states.items()},
        )


def channels(states: Tensor) -> int:
    """Which axis of hidden states holds the channels: feature maps are (B, C, H, W), all others end in C.

    >>> import torch
    >>> channels(torch.zeros(2, 8, 4, 4)), channels(torch.zeros(2, 5, 8))
    (1, -1)
    """
    return 1 if states.dim() == 4 else -1
