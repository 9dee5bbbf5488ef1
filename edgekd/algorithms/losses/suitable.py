"""Suitable: whether every loss can be computed from what the models give, tried on one batch before any training."""

from __future__ import annotations

from itertools import chain
from math import gcd

from edgekd.algorithms.losses.signals import Signals, Sizes
from edgekd.algorithms.losses.terms import Terms
from edgekd.errors import BadInputError
from edgekd.objectives.base import Available, Need
from edgekd.objectives.states import RelationsConfig
from edgekd.objectives.table import Loss


def check(terms: Terms, signals: Signals) -> None:
    """Compute each loss of ``terms`` once, whatever its weight; only here are all widths known, of any form of model.

    >>> import torch
    >>> from edgekd.objectives.table import parse
    >>> batch = Signals(torch.zeros(2, 3), torch.zeros(2, 4))
    >>> check(Terms(parse([{"use": "mse"}]), Sizes.of(batch)), batch)
    Traceback (most recent call last):
    edgekd.errors.BadInputError: losses[0] 'mse': found a student with 3 dimensions and a teacher with 4, expected...

    Raises:
        BadInputError: the first loss that can't be computed, with the widths and what to do.

    """
    sizes = Sizes.of(signals)
    for index, loss in enumerate(terms.losses):
        reason = _refusal(loss, sizes)
        try:
            if not reason:
                terms.term(loss, signals)
        except ValueError as error:
            reason = f"{error}{_widths(loss, sizes)}"
        if reason:
            raise BadInputError(f"losses[{index}] {loss.use!r}: {reason}", _hint(loss, sizes))


def _refusal(loss: Loss, sizes: Sizes) -> str:
    """What a plan would have said of these widths, or ""."""
    known = Available(
        kind="vectors" if Need.VECTORS in loss.needs else "logits",
        has_labels=True,
        teacher_is_live_possible=True,
        attention=True,
        student_width=sizes.student,
        teacher_width=sizes.teacher,
    )
    return loss.objective.refusal(loss.config, known)


def _widths(loss: Loss, sizes: Sizes) -> str:
    """The widths of the layers that a loss compares, to end a sentence with."""
    if Need.STATES not in loss.needs:
        return ""
    each = (
        f"the student's {ours!r} is {sizes.student_layers[ours]} wide, "
        f"the teacher's {theirs!r} {sizes.teacher_layers[theirs]}"
        for ours, theirs in loss.config.pairs()
    )
    return f" ({'; '.join(each)})"


def _hint(loss: Loss, sizes: Sizes) -> str:
    if isinstance(loss.config, RelationsConfig):
        widths = [(sizes.student_layers[ours], sizes.teacher_layers[theirs]) for ours, theirs in loss.config.pairs()]
        shared = gcd(*chain.from_iterable(widths))
        most = max(number for number in range(1, loss.config.relation_heads + 1) if shared % number == 0)
        return f"set relation_heads to a number that divides all of these widths, for example {most}"
    if Need.VECTORS in loss.needs:
        return "name another loss in 'losses', other 'widths', or a student with vectors as wide as the teacher's"
    return "compare other layers in 'losses', or name another loss"
