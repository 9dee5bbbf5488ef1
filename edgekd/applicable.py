"""Applicable: what a pipeline's steps need, held against its task, teacher and student, before anything runs."""

from __future__ import annotations

from edgekd import dimensions
from edgekd.data import tokenizer_folder
from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError
from edgekd.float_models import TRAINING
from edgekd.models import encoder_folder
from edgekd.models.families import family
from edgekd.pipeline import Pipeline
from edgekd.readers import TEXTS, Readers
from edgekd.stages import prune
from edgekd.tasks import TASKS, image_classification


def check_steps(pipeline: Pipeline) -> None:
    """Refuse steps that don't fit the task, the teacher or the student.

    Raises:
        BadInputError: the first such step.

    """
    path, forms = pipeline.path, [each.form for each in pipeline.all_teachers]
    _check_pruning(pipeline)
    trains = [use for use in TRAINING if pipeline.step(use) is not None]
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
    if "finetune" in trains and not pipeline.has_labels:
        raise BadInputError(f"{path}: found the stage 'finetune' with {pipeline.task}, which has no labels")
    if pipeline.step("quantize").temperature and not pipeline.has_labels:
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
    if pipeline.teacher_outputs.top_k is not None and not pipeline.has_labels:
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
    if pipeline.has_labels:
        raise BadInputError(f"{where} with {pipeline.task}, expected none: a model's outputs are its classes")
    most = dimensions.teacher_width(pipeline)
    if most is not None and width > most:
        raise BadInputError(f"{where}, expected at most {most}, the width of the teacher's vectors")


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
