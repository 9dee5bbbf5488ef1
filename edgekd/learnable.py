"""Learnable: what a pipeline's models are to learn from, held against what is there: losses, teachers, tables, rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekd import dimensions
from edgekd.errors import BadInputError
from edgekd.float_models import TRAINING
from edgekd.limits import Limit
from edgekd.models import outputs_table
from edgekd.objectives.base import Available, Need
from edgekd.objectives.table import check, needs
from edgekd.origins import Origins
from edgekd.pipeline import Pipeline
from edgekd.readers import Readers
from edgekd.stages.teaching import TeachingConfig
from edgekd.tasks import DOMAINS, TaskData

INSIDE = frozenset({Need.STATES, Need.ATTENTION})
LABELS_ALONE = "found losses that compare with a teacher, expected 'labels' alone: no teacher is there"


def check_teachers(pipeline: Pipeline) -> None:
    """Refuse a fine-tuning of the teacher that has nothing to learn from, or a loss that would compare it with another.

    Raises:
        BadInputError: the first such teacher.

    """
    for teacher in pipeline.all_teachers:
        if teacher.finetune is None:
            continue
        where = f"{pipeline.path}: [teacher.finetune]"
        if teacher.form not in ("model", "encoder"):
            raise BadInputError(f"{where}: found a teacher given as {teacher.form} = '…', expected a torch module")
        if not pipeline.has_labels:
            raise BadInputError(f"{where}: found {pipeline.task}, which has no labels")
        if needs(teacher.finetune.losses) - {Need.LABELS}:
            raise BadInputError(f"{where}: {LABELS_ALONE}")


def check_losses(pipeline: Pipeline) -> None:
    """Refuse losses that can't be computed from what the pipeline has.

    Raises:
        BadInputError: the first such loss, with the reason and its line.

    """
    for step in pipeline.stages:
        if step.use not in TRAINING:
            continue
        try:
            _check_number(pipeline, step.config)
            check(step.config.losses, _available(pipeline, needs(step.config.losses)))
            _check_teacher(pipeline, step.use, step.config)
        except ValueError as error:
            raise BadInputError(f"{pipeline.path}:{step.line}: stage {step.use!r}: {error}") from None


def check_tables(pipeline: Pipeline, data: TaskData, limits: Sequence[Limit]) -> bool:
    """Hold the teachers' tables of outputs against the data; return whether the teachers can be scored.

    A teacher is scored where its table has outputs for the test rows too.

    Raises:
        BadInputError: a table that can't be used, or a limit relative to a teacher that can't be scored.

    """
    paths = [pipeline.file(each.outputs, "outputs") for each in pipeline.all_teachers if each.outputs is not None]
    if not paths:
        return True
    with TemporaryDirectory(prefix="edgekd-") as scratch:
        task = data.open(None, Path(scratch))
        found = [outputs_table.check(path, task) for path in paths]
    scored = all("test" in splits for splits in found)
    for limit in limits:
        if not scored and limit.relative_to == "teacher":
            raise BadInputError(
                f"{limit.origin}: found the limit '{limit.text}' and a teacher whose table has no outputs for the test "
                "rows, so that its quality isn't known",
                "add the test rows to the table, or set a limit on quality itself: quality = '>= 90 %' in [budget]",
            )
    return scored


def check_tuning(pipeline: Pipeline, data: TaskData, cache: Path | None) -> TaskData | None:
    """Return the data that the stage 'finetune' has of its own, if it has any; ``cache`` takes its tables.

    It is read here: whether its labels are the classes of ``data`` stands in its rows.

    Raises:
        BadInputError: data that can't be used.

    """
    step = next((step for step in pipeline.stages if step.use == "finetune" and step.config.data is not None), None)
    if step is None:
        return None
    where = f"{pipeline.path}:{step.line}: stage 'finetune'"
    if pipeline.task not in DOMAINS:
        raise BadInputError(f"{where}: found data with {pipeline.task}, expected it with {' or '.join(DOMAINS)}")
    with TemporaryDirectory(prefix="edgekd-") as scratch:
        data.open(None, Path(scratch))  # what is wrong with the pipeline's own data is not said of this
        try:
            found = data.trained_on(step.config.data, cache)
            found.source.check()
            found.open(None, Path(scratch)).rows(pipeline.seed)
        except BadInputError as error:
            message, hint = (text.replace("[data]", "data") for text in (error.message, error.hint))
            raise BadInputError(f"{where}: {message}", hint) from None
    return found


def _check_number(pipeline: Pipeline, config: TeachingConfig) -> None:
    """Several teachers teach by their outputs alone, which are one; what is inside them is not."""
    count = len(pipeline.all_teachers)
    if count > 1 and needs(config.losses) & INSIDE:
        inside = ", ".join(repr(loss.use) for loss in config.losses if loss.needs & INSIDE)
        raise ValueError(
            f"found {count} [[teachers]] and losses that look inside the teacher ({inside}), expected one [teacher]: "
            "several have layers and tokens of their own, and only their outputs are combined"
        )
    if count > 1 and config.live:
        raise ValueError(
            f"found live = true and {count} [[teachers]], expected one [teacher]: several are asked once, "
            "each by what it reads, and what they give is cached; leave live out"
        )


def _check_teacher(pipeline: Pipeline, use: str, config: TeachingConfig) -> None:
    wanted = needs(config.losses)
    if use == "finetune" and wanted - {Need.LABELS}:
        raise ValueError(LABELS_ALONE)
    if wanted & INSIDE and not config.live:
        raise ValueError("found losses that look inside the teacher, expected live = true: it runs beside the student")
    if config.live and not Origins(pipeline).is_torch:
        raise ValueError("found live = true and a teacher that is no torch module")


def _available(pipeline: Pipeline, wanted: frozenset[Need]) -> Available:
    vectors = not pipeline.has_labels
    student, teacher = dimensions.heads(pipeline)
    return Available(
        kind="vectors" if vectors else "logits",
        has_labels=not vectors,
        teacher_is_live_possible=Origins(pipeline).is_torch,
        attention=student is not None and student == teacher,
        student_width=dimensions.student_width(pipeline) if vectors else None,
        teacher_width=dimensions.teacher_width(pipeline) if vectors else None,
        same_inputs=not wanted & INSIDE or Readers(pipeline).same_tokens(),
    )
