"""Dimensions: what a pipeline's models are wide, as far as their files tell before anything runs, without torch."""

from __future__ import annotations

from pathlib import Path

from edgekd.models import encoder_folder, outputs_table
from edgekd.pipeline import Pipeline
from edgekd.teachers import TeacherConfig


def teacher_width(pipeline: Pipeline) -> int | None:
    """The width of a teacher's vectors; those of several lie side by side. None where a file doesn't tell."""
    known = [width for each in pipeline.all_teachers if (width := _width(pipeline, each)) is not None]
    return sum(known) if len(known) == len(pipeline.all_teachers) else None


def student_width(pipeline: Pipeline) -> int | None:
    """The width of the student's vectors; None where no file tells."""
    wanted = pipeline.student
    if wanted is None:
        return None
    if wanted.output_width is not None:
        return wanted.output_width
    if wanted.encoder is not None:
        return facts(pipeline, wanted.encoder).width
    return teacher_width(pipeline) if wanted.layers is not None else None  # fewer channels get a head to as many


def student_encoder(pipeline: Pipeline) -> str | None:
    """The encoder that the student is, or is made of; the teacher's where there is no student. None for a module."""
    wanted = pipeline.student
    if wanted is None or pipeline.step("distill") is None or wanted.layers is not None:
        return pipeline.all_teachers[0].encoder
    return wanted.encoder


def heads(pipeline: Pipeline) -> tuple[int | None, int | None]:
    """The attention heads of student and teacher, as far as their files say."""
    teacher = pipeline.all_teachers[0]
    theirs = facts(pipeline, teacher.encoder).heads if teacher.encoder else None
    wanted = pipeline.student
    if wanted is None or (wanted.layers is not None and wanted.hidden is None and wanted.heads is None):
        return theirs, theirs
    return (facts(pipeline, wanted.encoder).heads if wanted.encoder else None), theirs


def facts(pipeline: Pipeline, name: str) -> encoder_folder.EncoderFacts:
    """What the JSON files of an encoder say."""
    trusted = any(each.trust_remote_code for each in pipeline.all_teachers)
    return encoder_folder.check(pipeline.folder(name), trust_remote_code=trusted)


def _width(pipeline: Pipeline, teacher: TeacherConfig) -> int | None:
    if teacher.encoder is not None:
        return facts(pipeline, teacher.encoder).width
    if teacher.outputs is not None:
        return outputs_table.width(pipeline.file(teacher.outputs, "outputs"))
    return onnx_width(pipeline.file(teacher.onnx, "onnx")) if teacher.onnx is not None else None


def onnx_width(path: Path) -> int | None:
    """The width of the first output (rows, width) of an ONNX file; None where it is open, or the file is damaged.

    What is wrong with a damaged file is said by the step that opens it.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError:
        return None
    sizes = [size for each in graph.output[:1] for size in each.type.tensor_type.shape.dim]
    return int(sizes[1].dim_value) or None if len(sizes) == 2 else None
