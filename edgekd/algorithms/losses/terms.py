"""All losses of a pipeline as one module: weighted, scheduled, with the projections that they learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from edgekd.algorithms.losses import labels, logits, states, vectors
from edgekd.algorithms.losses.signals import Layers, Signals, Sizes, channels
from edgekd.errors import nearest
from edgekd.objectives.schedule import at
from edgekd.objectives.table import Loss

Value = TypeVar("Value")
Term = Callable[[Any, Signals, float], Tensor]  # of a loss's options, a batch, and the progress of the training


class Terms(nn.Module):
    """The weighted sum of ``losses``, which are as :func:`edgekd.objectives.table.parse` returns them.

    Its parameters are projections of the student to the teacher's width, without a bias, where widths differ: of
    each layer for "hidden", of the output for "contrastive". They are trained with the student and then thrown away.

    >>> from edgekd.objectives.table import parse
    >>> batch = Signals(torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]]), labels=torch.tensor([0]))
    >>> losses = parse([{"use": "logits", "weight": 10, "temperature": 1}, {"use": "labels"}])
    >>> total, each = Terms(losses, Sizes.of(batch))(batch, progress=0.0)
    >>> round(total.item(), 3), {name: round(value.item(), 3) for name, value in each.items()}
    (3.971, {'logits': 0.328, 'labels': 0.693})

    Raises:
        ValueError: a layer that ``sizes`` doesn't have.

    """

    def __init__(self, losses: Sequence[Loss], sizes: Sizes) -> None:
        super().__init__()
        self.losses = tuple(losses)
        self.projections = nn.ModuleDict()
        for loss in losses:
            for name, (student, teacher) in _projected_widths(loss, sizes).items():
                if student != teacher:
                    self.projections[name] = _projection(student, teacher)

    def forward(self, signals: Signals, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum, and each term by its name, without its weight and without a gradient.

        ``progress`` is the share of the training that is done, 0 to 1. A term whose weight is 0 there isn't computed.
        Everything is computed in 32 bits, whatever precision the models run in.

        Raises:
            ValueError: a batch without what a loss needs, or with shapes that don't fit each other.

        """
        each = {}
        with torch.autocast(signals.student.device.type, enabled=False):
            batch = signals.as_targets()
            total = (0 * batch.student).sum()  # so that there is a gradient even where no term counts
            for loss in self.losses:
                weight = loss.weight_at(progress)
                if weight > 0:
                    value = self._term(loss, batch, progress)
                    total = total + weight * value
                    each[loss.use] = value.detach()
        return total, each

    def term(self, loss: Loss, signals: Signals) -> Tensor:
        """Return ``loss`` alone, without its weight, at the beginning of the training.

        Raises:
            ValueError: as above.

        """
        return self._term(loss, signals.as_targets(), 0.0)

    def _term(self, loss: Loss, batch: Signals, progress: float) -> Tensor:
        return TERMS[loss.use](loss.config, self._project(loss, batch), progress)

    def _project(self, loss: Loss, batch: Signals) -> Signals:
        """Bring what ``loss`` looks at to the teacher's width."""
        if loss.use == "contrastive":
            return replace(batch, student=self._projected(loss.use, batch.student))
        if loss.use == "hidden":
            names = [student for student, _ in loss.config.pairs()]
            ours = {
                name: self._projected(_key(loss, index), _layer(batch.student_states, name))
                for index, name in enumerate(names)
            }
            return replace(batch, student_states=ours)
        return batch

    def _projected(self, name: str, tensor: Tensor) -> Tensor:
        if name not in self.projections:
            return tensor
        axis = channels(tensor)
        projected: Tensor = self.projections[name](tensor.movedim(axis, -1))
        return projected.movedim(-1, axis)


def _key(loss: Loss, index: int) -> str:
    """The name of a layer's projection; torch allows no dots in it, which layers' own names have."""
    return f"{loss.use}-{index}"


def _projected_widths(loss: Loss, sizes: Sizes) -> dict[str, tuple[int, int]]:
    """The student's and the teacher's width of what ``loss`` would project, by the projection's name."""
    if loss.use == "contrastive" and sizes.teacher is not None:
        return {loss.use: (sizes.student, sizes.teacher)}
    if loss.use == "hidden":
        return {
            _key(loss, index): (_layer(sizes.student_layers, student), _layer(sizes.teacher_layers, teacher))
            for index, (student, teacher) in enumerate(loss.config.pairs())
        }
    return {}


def _projection(student: int, teacher: int) -> nn.Linear:
    """A linear map that begins by keeping angles, as far as the teacher's width allows."""
    linear = nn.Linear(student, teacher, bias=False)
    nn.init.orthogonal_(linear.weight)
    return linear


def _layer(layers: Mapping[str, Value], name: str) -> Value:
    if name not in layers:
        raise ValueError(f"found no layer {name!r} that was recorded, {nearest(name, layers)}")
    return layers[name]


def _labels(config: Any, batch: Signals, _progress: float) -> Tensor:
    return labels.cross_entropy(batch.student, batch.true_labels(), config.smoothing)


def _logits(config: Any, batch: Signals, progress: float) -> Tensor:
    return logits.distillation(batch.student, batch.targets(), at(config.temperature, progress))


def _z_scored_logits(config: Any, batch: Signals, progress: float) -> Tensor:
    ours, theirs = logits.standardize(batch.student), logits.standardize(batch.targets())
    return logits.distillation(ours, theirs, at(config.temperature, progress))


def _dist(config: Any, batch: Signals, progress: float) -> Tensor:
    temperature = at(config.temperature, progress)
    return logits.dist(batch.student, batch.targets(), temperature, config.inter, config.intra)


def _dkd(config: Any, batch: Signals, progress: float) -> Tensor:
    weights = (at(config.temperature, progress), config.alpha, config.beta)
    return logits.decoupled(batch.student, batch.targets(), batch.true_labels(), *weights)


def _of_coordinates(loss: Callable[[Tensor, Tensor], Tensor]) -> Term:
    return lambda config, batch, _progress: _at_widths(loss, config, batch, cut_teacher=True)


def _of_similarities(loss: Callable[[Tensor, Tensor, float], Tensor]) -> Term:
    def term(config: Any, batch: Signals, progress: float) -> Tensor:
        temperature = at(config.temperature, progress)
        return _at_widths(lambda ours, theirs: loss(ours, theirs, temperature), config, batch, cut_teacher=False)

    return term


def _at_widths(loss: Callable[[Tensor, Tensor], Tensor], config: Any, batch: Signals, *, cut_teacher: bool) -> Tensor:
    """The loss of whole vectors, or where there are ``widths`` its mean over those and the whole width."""
    student, teacher = batch.student, batch.targets()
    if not config.widths:
        return loss(student, teacher)
    widths = dict.fromkeys((*config.widths, student.shape[1]))
    return vectors.matryoshka(loss, student, teacher, tuple(widths), cut_teacher=cut_teacher)


def _similarity_mse(config: Any, batch: Signals, _progress: float) -> Tensor:
    return _at_widths(vectors.similarity_mse, config, batch, cut_teacher=False)


def _contrastive(config: Any, batch: Signals, progress: float) -> Tensor:
    return vectors.contrastive(batch.student, batch.targets(), at(config.temperature, progress))


def _hidden(config: Any, batch: Signals, _progress: float) -> Tensor:
    found = _each_pair(config, batch.student_states, batch.teacher_states)
    return torch.stack([states.hidden(*states.pooled(*pair), batch.mask) for pair in found]).mean()


def _attention(config: Any, batch: Signals, _progress: float) -> Tensor:
    found = _each_pair(config, batch.student_maps, batch.teacher_maps)
    return torch.stack([states.attention(*pair, batch.mask) for pair in found]).mean()


def _relations(config: Any, batch: Signals, _progress: float) -> Tensor:
    found = _each_pair(config, batch.student_states, batch.teacher_states)
    return torch.stack([states.relations(*pair, config.relation_heads, batch.mask) for pair in found]).mean()


def _each_pair(config: Any, ours: Layers, theirs: Layers) -> list[tuple[Tensor, Tensor]]:
    return [(_layer(ours, student), _layer(theirs, teacher)) for student, teacher in config.pairs()]


# What computes each loss that edgekd.objectives.OBJECTIVES names.
TERMS: dict[str, Term] = {
    "labels": _labels,
    "logits": _logits,
    "z-scored-logits": _z_scored_logits,
    "dist": _dist,
    "dkd": _dkd,
    "mse": _of_coordinates(vectors.mse),
    "cosine": _of_coordinates(vectors.cosine),
    "similarity-mse": _similarity_mse,
    "similarity-kl": _of_similarities(vectors.similarity_kl),
    "neighbours": _of_similarities(vectors.neighbours),
    "contrastive": _contrastive,
    "hidden": _hidden,
    "attention": _attention,
    "relations": _relations,
}
