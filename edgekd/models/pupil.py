"""The student in training: with the losses that it learns by and, for those that look inside, a teacher beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekd import processes
from edgekd.algorithms.losses import suitable
from edgekd.algorithms.losses.recorder import Recorder
from edgekd.algorithms.losses.signals import Signals, Sizes
from edgekd.algorithms.losses.terms import Terms
from edgekd.errors import BadInputError, nearest
from edgekd.objectives.base import Need
from edgekd.objectives.table import Loss, pairs

LIVE = frozenset({Need.STATES, Need.ATTENTION})
SIDES = ("student", "teacher")


@dataclass(frozen=True, slots=True)
class Lesson:
    """One batch: what the student sees of it here, and the answers for the whole batch of all processes."""

    inputs: tuple[Tensor, ...]
    teacher: Tensor | None = None  # outputs for the whole batch, in the order of the processes' parts
    labels: Tensor | None = None  # of the whole batch
    teacher_inputs: tuple[Tensor, ...] = ()  # where the teacher runs beside the student

    def __len__(self) -> int:
        return len(self.inputs[0]) * processes.world()


class Pupil(nn.Module):
    """Calling it with a batch and the progress of the training gives the loss.

    ``simulation`` changes how the student runs, and what it learns is trained too.
    """

    def __init__(
        self,
        student: nn.Module,
        losses: Sequence[Loss],
        teacher: nn.Module | None = None,
        simulation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.student, self.losses, self.simulation = student, tuple(losses), simulation
        self._teacher = [] if teacher is None else [teacher.eval()]  # in a list: it is no part of what is trained
        self._pairs = {need: pairs(losses, need) for need in LIVE}
        self.terms: nn.Module | None = None

    def prepare(self, batch: Lesson) -> None:
        """Size the losses' own projections by one batch, and try each loss on it.

        Raises:
            BadInputError: a loss that can't be computed from what student and teacher give.

        """
        with torch.no_grad():
            signals = self._signals(batch)
            self.terms = terms = Terms(self.losses, Sizes.of(signals))
            suitable.check(terms, signals)

    def forward(self, batch: Lesson, progress: float) -> Tensor:
        """The weighted losses of a batch."""
        if self.terms is None:
            raise RuntimeError("prepare() comes first")
        total: Tensor = self.terms(self._signals(batch), progress)[0]
        return total

    def _signals(self, batch: Lesson) -> Signals:
        with self._recording(self.student, 0) as seen:
            outputs = processes.gather(self.student(*batch.inputs))
        teacher = batch.teacher
        taught: Recorder | _Nothing = _Nothing()
        if self._teacher:
            with torch.no_grad(), self._recording(self._teacher[0], 1) as taught:
                teacher = processes.gather(self._teacher[0](*(batch.teacher_inputs or batch.inputs)))
        mask = batch.inputs[1] if len(batch.inputs) == 2 else None
        return Signals(outputs, teacher, batch.labels, mask, seen.states, taught.states, seen.maps, taught.maps)

    def _recording(self, model: nn.Module, side: int) -> AbstractContextManager[Recorder | _Nothing]:
        states, maps = ([pair[side] for pair in self._pairs[need]] for need in (Need.STATES, Need.ATTENTION))
        if not states and not maps:
            return nullcontext(_Nothing())
        try:
            return Recorder(model, states, maps)
        except BadInputError as error:
            raise BadInputError(f"losses: the {SIDES[side]}: {error.message}", error.hint) from None


class _Nothing:
    """What was recorded where nothing is."""

    states: Mapping[str, Tensor] = {}
    maps: Mapping[str, Tensor] = {}


def freeze(module: nn.Module, parts: Iterable[str]) -> None:
    """Leave parameters as they are: those whose dotted names have one of these parts in them, as 'encoder.layer.0'.

    Raises:
        BadInputError: no parameter has such a name.

    """
    names = [name for name, _ in module.named_parameters()]
    for part in parts:
        found = [name for name in names if f".{part}." in f".{name}."]
        if not found:
            known = {name.rpartition(".")[0] for name in names}
            raise BadInputError(f"freeze: found no parameter {part!r} in the student", nearest(part, known))
        for name in found:
            module.get_parameter(name).requires_grad_(False)
