"""Origins: the steps that load what the user brings, a teacher in one of five forms, a student, their tokenizers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgekd import dotted
from edgekd.errors import BadInputError
from edgekd.models import encoder_folder
from edgekd.pipeline import Pipeline
from edgekd.stages import encoder, foreign, student, teacher, tokenizer, trim_vocabulary
from edgekd.teachers import TeacherConfig
from edgekd.toml_file import Frozen

Loading = tuple[str, str, Frozen, tuple[str, ...]]  # name, stage, options, inputs
FOREIGN = {"onnx": "foreign_onnx", "keras": "foreign_keras", "outputs": "foreign_table"}
TEXTS = ("text-classification", "text-embedding")


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
    def is_torch(self) -> bool:
        """Whether there is one teacher, a torch module: it can be exported, live, or cut."""
        found = self.pipeline.all_teachers
        return len(found) == 1 and found[0].form in ("model", "encoder")

    @property
    def can_run(self) -> bool:
        """Whether every teacher can see other inputs than those that a table has outputs for."""
        return all(each.form != "outputs" for each in self.pipeline.all_teachers)

    def reader(self, *, of_teacher: bool) -> tuple[str, ...]:
        """The tokenizer's artifact, as inputs of a step."""
        if self._teacher_source is None and self._student_source is None:
            return ()
        if not of_teacher or not self._apart:
            return ("tokenizer",)
        return () if self._teacher_source is None else ("teacher_tokenizer",)

    def steps(self) -> Iterator[Loading]:
        """Load the tokenizers, then the teachers."""
        yield from self._tokenizers()
        for name, config in zip(self.teachers, self.pipeline.all_teachers, strict=True):
            if config.finetune is None:
                yield self._teacher(name, config)
            else:
                yield self._teacher(f"{name}_start", config)
                yield name, "finetune", config.finetune, (f"{name}_start", *self.reader(of_teacher=True))

    def student(self) -> Loading:
        """Load the student before any training."""
        wanted = self.pipeline.student
        if wanted is None:
            raise BadInputError(f"{self.pipeline.path}: found no [student]")
        reader = self.reader(of_teacher=False)
        if wanted.encoder is not None:
            source = self.pipeline.folder(wanted.encoder)
            return "student_start", "encoder", encoder.Config(**_encoder(source), noun="student"), reader
        code = dotted.digest(str(wanted.model), "[student] model")
        config = student.Config(model=str(wanted.model), options=wanted.options, code_sha256=code)
        return "student_start", "student", config, reader

    def _teacher(self, name: str, config: TeacherConfig) -> Loading:
        reader = self.reader(of_teacher=True)
        if config.encoder is not None:
            source = self.pipeline.folder(config.encoder)
            options = encoder.Config(**_encoder(source, trust_remote_code=config.trust_remote_code))
            return name, "encoder", options, reader
        if config.model is not None:
            weights = self.pipeline.file(str(config.weights), "weights")
            made = teacher.Config(
                model=config.model,
                options=config.options,
                weights=weights,
                weights_sha256=_sha256(weights),
                code_sha256=dotted.digest(config.model, "[teacher] model"),
            )
            return name, "teacher", made, reader
        path = self.pipeline.file(str(getattr(config, config.form)), config.form)
        given = foreign.ForeignConfig(weights=path, weights_sha256=_sha256(path))
        return name, FOREIGN[config.form], given, () if config.form == "outputs" else reader

    def _tokenizers(self) -> Iterator[Loading]:
        length = getattr(self.pipeline.data, "max_length", None)
        first, second = self._teacher_source, self._student_source
        if first is not None and self._apart:
            yield "teacher_tokenizer", "tokenizer", _tokenizer(first, length), ()
        if second is None:
            return
        student = self.pipeline.student
        if student is not None and student.vocabulary == "trimmed":
            config = trim_vocabulary.Config(min_count=student.token_min_count)
            yield "tokenizer", "trim_vocabulary", config, ("teacher_tokenizer",)
        else:
            yield "tokenizer", "tokenizer", _tokenizer(second, length), ()

    def same_tokens(self) -> bool:
        """Whether teacher and student cut a training text into the same tokens; trimming leaves all that occur once."""
        student = self.pipeline.student
        if student is not None and self._trimmed and student.token_min_count > 1:
            return False
        first, second = self._teacher_source, self._student_source
        if first is None or second is None or first == second:
            return first == second
        from edgekd.data.tokens import Tokenizer

        length = getattr(self.pipeline.data, "max_length", None)
        one, other = (
            Tokenizer.from_folder(encoder_folder.find(name, weights=False), length) for name in (first, second)
        )
        return one == other

    @property
    def _apart(self) -> bool:
        """Whether teacher and student read differently."""
        return self._trimmed or self._teacher_source != self._student_source

    @property
    def _trimmed(self) -> bool:
        return self.pipeline.student is not None and self.pipeline.student.vocabulary == "trimmed"

    @cached_property
    def _teacher_source(self) -> str | None:
        if self.pipeline.task not in TEXTS:
            return None
        sources = {each.tokenizer or each.encoder for each in self.pipeline.all_teachers} - {None}
        if len(sources) > 1:
            raise BadInputError(
                f"{self.pipeline.path}: found [[teachers]] with the tokenizers {', '.join(sorted(map(str, sources)))}, "
                "expected one for all of them"
            )
        return self.pipeline.folder(str(sources.pop())) if sources else None

    @cached_property
    def _student_source(self) -> str | None:
        wanted = self.pipeline.student
        named = None if wanted is None else wanted.tokenizer or wanted.encoder
        return self._teacher_source if named is None else self.pipeline.folder(named)


def _tokenizer(source: str, length: int | None) -> tokenizer.Config:
    """A tokenizer is read from JSON alone, so it takes no trust in a model's own code."""
    found = encoder_folder.find(source, weights=False)
    return tokenizer.Config(source=source, sha256=encoder_folder.digest(found), max_length=length)


def _encoder(source: str, *, trust_remote_code: bool = False) -> dict[str, object]:
    facts = encoder_folder.check(source, trust_remote_code=trust_remote_code)
    made: dict[str, object] = {"source": source, "sha256": encoder_folder.digest(facts.folder)}
    return {**made, "trust_remote_code": True} if trust_remote_code else made


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
