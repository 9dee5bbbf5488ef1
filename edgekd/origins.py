"""Origins: the steps that load what the user brings: teachers in one of five forms, a student, their tokenizers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgekd import dotted, installed
from edgekd.errors import BadInputError
from edgekd.models import encoder_folder
from edgekd.node import Node
from edgekd.pipeline import Pipeline
from edgekd.readers import Readers
from edgekd.stages import encoder, finetune, foreign, student, teacher
from edgekd.teachers import TeacherConfig

FOREIGN = {"onnx": "foreign_onnx", "keras": "foreign_keras", "outputs": "foreign_table"}


@dataclass(frozen=True)
class Origins:
    """What a pipeline's [teacher], [[teachers]] and [student] name."""

    pipeline: Pipeline

    @property
    def teachers(self) -> tuple[str, ...]:
        """The names of the teachers' artifacts; an ONNX teacher is called as an exported one is."""
        count = len(self.pipeline.all_teachers)
        if count == 1:
            return ("teacher_onnx" if self.pipeline.all_teachers[0].form == "onnx" else "teacher",)
        return tuple(f"teacher_{number + 1}" for number in range(count))

    @property
    def weights(self) -> tuple[float, ...]:
        """Several teachers' weights; empty for one."""
        found = self.pipeline.all_teachers
        return () if len(found) == 1 else tuple(each.weight for each in found)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """What runs them, with the versions that are installed."""
        return installed.versions(each.form for each in self.pipeline.all_teachers)

    @property
    def is_torch(self) -> bool:
        """Whether there is one teacher, a torch module: it can be exported, live, or cut."""
        found = self.pipeline.all_teachers
        return len(found) == 1 and found[0].form in ("model", "encoder")

    @property
    def can_run(self) -> bool:
        """Whether every teacher can see other inputs than those that a table has outputs for."""
        return all(each.form != "outputs" for each in self.pipeline.all_teachers)

    @cached_property
    def readers(self) -> Readers:
        """By which tokenizers they read."""
        return Readers(self.pipeline)

    @property
    def asked(self) -> tuple[str, ...]:
        """The teachers as inputs of a step that runs them, each with the tokenizer that it reads by after it."""
        each = enumerate(self.teachers)
        return tuple(name for number, teacher in each for name in (teacher, *self.readers.of_teacher(number)))

    def reader(self, model: str) -> tuple[str, ...]:
        """The tokenizer by which a student, or the only teacher, reads, as a step's input."""
        return self.readers.of_teacher(0) if model.startswith("teacher") else self.readers.of_student()

    def steps(self) -> Iterator[Node]:
        """Load the tokenizers, then the teachers."""
        yield from self.readers.steps()
        for number, (name, config) in enumerate(zip(self.teachers, self.pipeline.all_teachers, strict=True)):
            reader = self.readers.of_teacher(number)
            if config.finetune is None:
                yield self._teacher(name, config, reader)
            else:
                yield self._teacher(f"{name}_start", config, reader)
                tuned = finetune.Config(**config.finetune.model_dump(), augment=self.pipeline.augment)
                yield Node(name, "finetune", tuned, (f"{name}_start", *reader))

    def student(self) -> Node:
        """Load the student before any training."""
        wanted = self.pipeline.student
        if wanted is None:
            raise BadInputError(f"{self.pipeline.path}: found no [student]")
        reader = self.readers.of_student()
        if wanted.encoder is not None:
            source = self.pipeline.folder(wanted.encoder)
            options = {**_encoder(source), "noun": "student", "output_width": wanted.output_width}
            vectors = () if wanted.output_width is None else ("teacher_outputs",)
            return Node("student_start", "encoder", encoder.Config.model_validate(options), (*reader, *vectors))
        code = dotted.digest(str(wanted.model), "[student] model")
        config = student.Config(model=str(wanted.model), options=wanted.options, code_sha256=code)
        return Node("student_start", "student", config, reader)

    def _teacher(self, name: str, config: TeacherConfig, reader: tuple[str, ...]) -> Node:
        if config.encoder is not None:
            source = self.pipeline.folder(config.encoder)
            options = encoder.Config(**_encoder(source, trust_remote_code=config.trust_remote_code))
            return Node(name, "encoder", options, reader)
        if config.model is not None:
            weights = self.pipeline.file(str(config.weights), "weights")
            made = teacher.Config(
                model=config.model,
                options=config.options,
                weights=weights,
                weights_sha256=_sha256(weights),
                code_sha256=dotted.digest(config.model, "[teacher] model"),
            )
            return Node(name, "teacher", made, reader)
        path = self.pipeline.file(str(getattr(config, config.form)), config.form)
        runtimes = installed.versions([config.form])
        given = foreign.ForeignConfig(weights=path, weights_sha256=_sha256(path), runtimes=runtimes)
        return Node(name, FOREIGN[config.form], given, reader)


def _encoder(source: str, *, trust_remote_code: bool = False) -> dict[str, object]:
    facts = encoder_folder.check(source, trust_remote_code=trust_remote_code)
    made: dict[str, object] = {"source": source, "sha256": encoder_folder.digest(facts.folder)}
    return {**made, "trust_remote_code": True} if trust_remote_code else made


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
