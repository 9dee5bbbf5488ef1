"""Applicable: what a pipeline's steps and losses need, held against what it has, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekd import dimensions
from edgekd.data import tokenizer_folder
from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError
from edgekd.limits import Limit
from edgekd.models import encoder_folder, outputs_table
from edgekd.models.families import family
from edgekd.objectives.base import Available, Need
from edgekd.objectives.table import check, needs
from edgekd.pipeline import Pipeline
from edgekd.readers import TEXTS, Readers
from edgekd.stages import prune
from edgekd.stages.teaching import TeachingConfig
from edgekd.tasks import DOMAINS, TASKS, TaskData, image_classification, outputs_of
from edgekd.tasks.base import Outputs

INSIDE = frozenset({Need.STATES, Need.ATTENTION})
LABELS_ALONE = "found losses that compare with a teacher, expected 'labels' alone: no teacher is there"


def check_steps(pipeline: Pipeline) -> None:
    """Refuse steps that don't fit the task, the teacher or the student.

    Raises:
        BadInputError: the first such step.

    """
    path, forms = pipeline.path, [each.form for each in pipeline.all_teachers]
    _check_pruning(pipeline)
    trains = [use for use in ("distill", "prune", "finetune", "qat") if pipeline.step(use) is not None]
    if "distill" not in trains and (len(forms) > 1 or forms[0] not in ("model", "encoder")):
        raise BadInputError(
            f"{path}: found no stage 'distill' and a teacher that is no torch module ({', '.join(forms)}), "
            "expected one to export",
            "add the stage 'distill' and a [student]",
        )
    _check_outputs(pipeline)
    _check_width(pipeline)
    student = pipeline.student
    if student is not None and student.encoder is not None and student.vocabulary == "trimmed":
        family(dimensions.facts(pipeline, student.encoder).model_type, "trimming a student's vocabulary")
    _check_qat(pipeline)
    if pipeline.student is not None and pipeline.student.layers is not None and forms != ["encoder"]:
        raise BadInputError(f"{path}: found [student] layers, which are taken from a teacher given as encoder = '…'")
    if "finetune" in trains and not _has_labels(pipeline):
        raise BadInputError(f"{path}: found the stage 'finetune' with {pipeline.task}, which has no labels")
    if pipeline.step("quantize").temperature and not _has_labels(pipeline):
        raise BadInputError(f"{path}: found quantize temperature with {pipeline.task}, which has no probabilities")
    _check_static(pipeline)
    if pipeline.bundle.preprocessing == "in_graph":
        _check_in_graph(pipeline)


def _check_in_graph(pipeline: Pipeline) -> None:
    """Refuse preprocessing inside a file that can't have it."""
    where = pipeline.where("bundle", "preprocessing")
    if pipeline.task != "image-classification":
        raise BadInputError(f"{where}: found preprocessing = 'in_graph' with {pipeline.task}, expected images")
    if "onnx" not in pipeline.step("export").formats:
        raise BadInputError(f"{where}: found preprocessing = 'in_graph' and no ONNX file, which alone can have it")


def _check_static(pipeline: Pipeline) -> None:
    """Refuse steps before INT8, and whole numbers at a file's ends, where there are none."""
    step = pipeline.step("quantize")
    without = step.mode if step.mode in ("dynamic", "weight-only") else pipeline.task if pipeline.task in TEXTS else ""
    for option in ("equalize", "correct_bias"):
        if getattr(step, option) is True and without:
            raise BadInputError(
                f"{pipeline.path}: found quantize {option} = true with {without}, expected static INT8 of images",
                "leave it out",
            )
    without = (
        step.mode if step.mode == "weight-only" else pipeline.task if pipeline.task == image_classification.NAME else ""
    )
    if step.smooth is True and without:
        raise BadInputError(
            f"{pipeline.path}: found quantize smooth = true with {without}, expected static or dynamic INT8 of texts",
            "leave it out",
        )
    if step.io != "float" and pipeline.task in TEXTS:
        raise BadInputError(
            f"{pipeline.path}: found quantize io = {step.io!r} with {pipeline.task}, expected 'float': a text encoder "
            "takes token ids, and its last operators stay float",
            "leave it out",
        )


def _check_pruning(pipeline: Pipeline) -> None:
    """Refuse to prune what the student doesn't have."""
    step: prune.StepConfig | None = pipeline.step("prune")
    if step is None:
        return
    where = f"{pipeline.path}:{next(each.line for each in pipeline.stages if each.use == 'prune')}: stage 'prune'"
    texts = pipeline.task in TEXTS
    if step.compare is not False and (pipeline.step("distill") is None or step.sparsity is not None):
        found = "no stage 'distill'" if step.sparsity is None else "sparsity"
        raise BadInputError(
            f"{where}: found compare and {found}, expected a student that is distilled, then pruned: it is raced "
            "against one that was small before that",
            "leave compare out",
        )
    if texts and step.importance == "batch-norm":
        raise BadInputError(
            f"{where}: found importance = 'batch-norm' with {pipeline.task}, expected magnitude or taylor: "
            "transformers have no batch normalisation"
        )
    if step.structures is not None and pipeline.task in TASKS and not texts:
        raise BadInputError(
            f"{where}: found structures = {list(step.structures)} with {pipeline.task}, expected none: of convolutions "
            "whole channels go",
            "leave structures out",
        )
    if texts and step.sparsity is None and (source := dimensions.student_encoder(pipeline)) is not None:
        known = family(dimensions.facts(pipeline, source).model_type, f"{where}")
        if known.head_bias and "heads" in (step.structures or ("heads",)):
            raise BadInputError(
                f"{where}: found a model whose layers share one bias for each head, expected heads that stand alone",
                'write structures = ["neurons"], or ["layers"]',
            )


def _check_qat(pipeline: Pipeline) -> None:
    """Refuse a training with simulated INT8 whose result nothing would use, and its ranges where there are none."""
    path, quantize, prune = pipeline.path, pipeline.step("quantize"), pipeline.step("prune")
    trained = pipeline.step("qat") is not None
    if quantize.method == "learned" and (not trained or pipeline.task in TEXTS):
        raise BadInputError(
            f"{path}: found quantize method = 'learned' "
            f"{f'with {pipeline.task}' if trained else 'without the stage qat'}, expected ranges that are learned",
            "add the stage 'qat' to a pipeline of convolutions, or leave method out",
        )
    if trained and quantize.mode == "weight-only":
        raise BadInputError(
            f"{path}: found the stage 'qat' and quantize mode = 'weight-only', expected activations in INT8 too: "
            "it trains for those",
            "leave the stage 'qat' or the mode out",
        )
    if trained and prune is not None and prune.sparsity is not None:
        raise BadInputError(
            f"{path}: found the stage 'qat' after prune sparsity = {prune.sparsity}, expected whole channels pruned: "
            "it trains all weights, and would fill the zeros again"
        )


def _check_outputs(pipeline: Pipeline) -> None:
    """Refuse views that the rows or the teacher don't have, and a way of keeping outputs that is for others."""
    path, forms = pipeline.path, [each.form for each in pipeline.all_teachers]
    if pipeline.task in TEXTS and pipeline.augment != AugmentConfig():
        raise BadInputError(
            f"{pipeline.where('augment')}: found [augment] with {pipeline.task}, expected none: only images have views",
            "leave [augment] out",
        )
    if pipeline.teacher_outputs.top_k is not None and not _has_labels(pipeline):
        raise BadInputError(
            f"{pipeline.where('teacher_outputs', 'top_k')}: [teacher_outputs] top_k: found "
            f"{pipeline.teacher_outputs.top_k} with {pipeline.task}, whose models give vectors, expected logits: "
            "of those the largest ones say most, but a vector is all of its coordinates",
            "leave top_k out",
        )
    if "outputs" in forms and pipeline.augment.views > 1:
        raise BadInputError(
            f"{path}: found [augment] views = {pipeline.augment.views} and a teacher given as outputs = '…', "
            "expected views = 1: its table has one output for a row",
            "leave [augment] out, or give the teacher itself",
        )


def _check_width(pipeline: Pipeline) -> None:
    """Refuse a width of vectors where there are none, or one that the teacher's vectors have no directions for."""
    width = None if pipeline.student is None else pipeline.student.output_width
    if width is None:
        return
    where = f"{pipeline.where('student', 'output_width')}: [student] output_width: found {width}"
    if _has_labels(pipeline):
        raise BadInputError(f"{where} with {pipeline.task}, expected none: a model's outputs are its classes")
    most = dimensions.teacher_width(pipeline)
    if most is not None and width > most:
        raise BadInputError(f"{where}, expected at most {most}, the width of the teacher's vectors")


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
        if not _has_labels(pipeline):
            raise BadInputError(f"{where}: found {pipeline.task}, which has no labels")
        if needs(teacher.finetune.losses) - {Need.LABELS}:
            raise BadInputError(f"{where}: {LABELS_ALONE}")


def check_length(pipeline: Pipeline) -> None:
    """Refuse texts that are longer than one of the models takes.

    Raises:
        BadInputError: [data] max_length is above what a teacher or the student allows.

    """
    readers = Readers(pipeline)
    if readers.length is None:
        return
    allowed = {name: _tokens_of(folder) for name, folder in readers.folders.items()}
    least = min(allowed, key=allowed.__getitem__, default=None)
    if least is not None and readers.length > allowed[least]:
        raise BadInputError(
            f"{pipeline.where('data', 'max_length')}: [data] max_length: found {readers.length}, "
            f"expected at most {allowed[least]}, the tokens that the model {least!r} takes",
            f"write max_length = {allowed[least]}, or leave it out: then each model reads up to its own limit",
        )


def _tokens_of(folder: str) -> int:
    return tokenizer_folder.max_length(tokenizer_folder.transformer_folder(encoder_folder.find(folder, weights=False)))


def check_losses(pipeline: Pipeline) -> None:
    """Refuse losses that can't be computed from what the pipeline has.

    Raises:
        BadInputError: the first such loss, with the reason and its line.

    """
    for step in pipeline.stages:
        if step.use not in ("distill", "prune", "finetune", "qat"):
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
    if config.live and not _live_possible(pipeline):
        raise ValueError("found live = true and a teacher that is no torch module")


def _available(pipeline: Pipeline, wanted: frozenset[Need]) -> Available:
    vectors = not _has_labels(pipeline)
    student, teacher = dimensions.heads(pipeline)
    return Available(
        kind="vectors" if vectors else "logits",
        has_labels=not vectors,
        teacher_is_live_possible=_live_possible(pipeline),
        attention=student is not None and student == teacher,
        student_width=dimensions.student_width(pipeline) if vectors else None,
        teacher_width=dimensions.teacher_width(pipeline) if vectors else None,
        same_inputs=not wanted & INSIDE or Readers(pipeline).same_tokens(),
    )


def _has_labels(pipeline: Pipeline) -> bool:
    return outputs_of(pipeline.task, pipeline.data) is Outputs.LOGITS


def _live_possible(pipeline: Pipeline) -> bool:
    found = pipeline.all_teachers
    return len(found) == 1 and found[0].form in ("model", "encoder")
