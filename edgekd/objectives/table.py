"""A pipeline's table of losses: read, written, and held against what the pipeline has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationError

from edgekd.errors import nearest
from edgekd.objectives import OBJECTIVES
from edgekd.objectives.base import Available, LossConfig, Need, Objective
from edgekd.objectives.schedule import TAGS, at, ends

EXAMPLE = "{ use = 'logits', weight = 0.9, temperature = 4 }"


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss of a pipeline: its name in OBJECTIVES, and its options."""

    use: str
    config: LossConfig

    @property
    def objective(self) -> Objective:
        """What is known of this loss apart from its options."""
        return OBJECTIVES[self.use]

    @property
    def needs(self) -> frozenset[Need]:
        """What it is computed from."""
        return self.objective.needs

    def weight_at(self, progress: float) -> float:
        """Its weight when the share ``progress`` (0 to 1) of the training is done."""
        return at(self.config.weight, progress)

    def table(self) -> dict[str, Any]:
        """The table that :func:`parse` makes this loss of, with every option."""
        return {"use": self.use, **self.config.model_dump(mode="json", by_alias=True)}


def parse(tables: object) -> tuple[Loss, ...]:
    """Return the losses that ``tables`` name: a list of tables, each with ``use`` and that loss's options.

    >>> loss, = parse([{"use": "logits", "weight": 0.9}])
    >>> loss.table()
    {'use': 'logits', 'weight': 0.9, 'temperature': 2.0}

    Raises:
        ValueError: not a list of tables, none, an unknown loss or option, a bad value, a loss twice, or weights that
            are all zero.

    """
    if not isinstance(tables, list | tuple) or not tables:
        raise ValueError(f"found {tables!r}, expected a list of tables such as {EXAMPLE}")
    losses = tuple(_loss(index, table) for index, table in enumerate(tables))
    for index, loss in enumerate(losses):
        if loss.use in {earlier.use for earlier in losses[:index]}:
            raise ValueError(f"losses[{index}]: found {loss.use!r} a second time, expected each loss once")
    if not any(max(ends(loss.config.weight)) > 0 for loss in losses):
        raise ValueError("found no loss with a weight above 0, expected at least one to learn from")
    return losses


def dump(losses: Sequence[Loss]) -> list[dict[str, Any]]:
    """The tables that :func:`parse` makes ``losses`` of; equal losses give equal tables.

    >>> dump(parse(dump(parse([{"use": "labels"}]))))
    [{'use': 'labels', 'weight': 1.0, 'smoothing': 0.0}]
    """
    return [loss.table() for loss in losses]


# The type of a pydantic field that holds a pipeline's losses.
Losses = Annotated[tuple[Loss, ...], PlainValidator(parse), PlainSerializer(dump)]


def needs(losses: Sequence[Loss]) -> frozenset[Need]:
    """All that ``losses`` are computed from.

    >>> sorted(needs(parse([{"use": "dkd"}, {"use": "labels"}])))
    [<Need.LABELS: 'labels'>, <Need.LOGITS: 'logits'>]
    """
    return frozenset[Need]().union(*(loss.needs for loss in losses))


def pairs(losses: Sequence[Loss], need: Need) -> tuple[tuple[str, str], ...]:
    """The student's and the teacher's layers that ``losses`` compare for ``need``, each pair once.

    >>> hidden = {"use": "hidden", "layers": {"blocks.0": "blocks.1"}}
    >>> pairs(parse([hidden]), Need.STATES), pairs(parse([hidden]), Need.ATTENTION)
    ((('blocks.0', 'blocks.1'),), ())
    """
    return tuple(dict.fromkeys(pair for loss in losses if need in loss.needs for pair in loss.config.pairs()))


def check(losses: Sequence[Loss], available: Available) -> None:
    """Refuse a loss that can't be computed from what the pipeline has.

    Raises:
        ValueError: the first such loss, with the reason.

    """
    for index, loss in enumerate(losses):
        reasons = [_unmet(need, available) for need in sorted(loss.needs)]
        reason = next(filter(None, [*reasons, loss.objective.refusal(loss.config, available)]), None)
        if reason:
            raise ValueError(f"losses[{index}] {loss.use!r}: {reason}")


def _loss(index: int, table: object) -> Loss:
    """Make one loss, or say what is wrong with the table at ``index``."""
    if isinstance(table, Loss):
        return table
    if not isinstance(table, Mapping):
        # not a TypeError: pydantic makes its own error of a ValueError alone
        raise ValueError(f"losses[{index}]: found {table!r}, expected a table such as {EXAMPLE}")  # noqa: TRY004
    options = dict(table)
    use = options.pop("use", None)
    if use is None:
        raise ValueError(f"losses[{index}]: found no 'use', which names the loss; known: {', '.join(OBJECTIVES)}")
    if not isinstance(use, str) or use not in OBJECTIVES:
        raise ValueError(f"losses[{index}] use: found {use!r}, {nearest(str(use), OBJECTIVES)}")
    try:
        return Loss(use, OBJECTIVES[use].config.model_validate(options))
    except ValidationError as error:
        raise ValueError(f"losses[{index}] {use!r}{_first(error, OBJECTIVES[use].config)}") from None


def _first(error: ValidationError, config: type[LossConfig]) -> str:
    """Say what the first of the errors found, where, and what was expected."""
    errors = error.errors()
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])  # a typo explains more
    keys = [str(key) for key in first["loc"] if key not in TAGS]
    name = ".".join(keys)
    if first["type"] == "extra_forbidden":
        known = ("from", "to", "shape", "until") if len(keys) > 1 else config.model_fields
        return f": found the unknown key {name!r}, {nearest(keys[-1], known)}"
    if first["type"] == "missing":
        return f": found no {name!r}, which is required"
    return f" {name}: found {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"


def _unmet(need: Need, available: Available) -> str:
    """Why ``need`` isn't met, or ""."""
    match need:
        case Need.LABELS if available.kind != "logits":
            return "found outputs that are vectors, expected logits, for which there can be labels"
        case Need.LABELS if not available.has_labels:
            return "found data without labels, which it compares the outputs with"
        case Need.LOGITS:
            return _logits_unmet(available)
        case Need.VECTORS if available.kind != "vectors":
            return "found outputs that are logits, expected vectors"
        case Need.STATES | Need.ATTENTION:
            return _layers_unmet(need, available)
    return ""


def _logits_unmet(available: Available) -> str:
    if available.kind != "logits":
        return "found outputs that are vectors, expected logits"
    student, teacher = available.student_width, available.teacher_width
    if student is not None and teacher is not None and student != teacher:
        return f"found a student with {student} classes and a teacher with {teacher}, expected the same classes"
    return ""


def _layers_unmet(need: Need, available: Available) -> str:
    if not available.teacher_is_live_possible:
        return (
            "found a teacher that gives outputs only, expected a torch module: "
            "the teacher's layers are read while the student is trained"
        )
    if not available.same_inputs:
        return "found a student and a teacher that read different inputs or tokens, expected positions that correspond"
    if need is Need.ATTENTION and not available.attention:
        return (
            "found no attention maps that can be compared, expected two transformers with as many heads each; "
            "'relations' needs no equal number of heads"
        )
    return ""
