"""Readers: by which tokenizer each teacher and the student read texts, and the steps that load those tokenizers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from edgekd.errors import BadInputError
from edgekd.models import encoder_folder
from edgekd.node import Node
from edgekd.pipeline import Pipeline
from edgekd.stages import tokenizer, trim_vocabulary

TEXTS = ("text-classification", "text-embedding")
WHOLE = "student_tokenizer"  # before it is trimmed, where no teacher reads by it


@dataclass(frozen=True)
class Readers:
    """What a pipeline's [teacher], [[teachers]] and [student] say of tokenizers; none where the task has no texts."""

    pipeline: Pipeline

    def of_teacher(self, number: int) -> tuple[str, ...]:
        """The tokenizer's artifact, as inputs of a step that runs the teacher ``number``."""
        source = self._teachers[number]
        return () if source is None else (self._name(source),)

    def of_student(self) -> tuple[str, ...]:
        """The same for the student."""
        return () if self._student is None else ("tokenizer",)

    def steps(self) -> Iterator[Node]:
        """Load every tokenizer once, the student's last: it may be a part of the teacher's."""
        length = self.length
        for source in dict.fromkeys(filter(None, self._teachers)):
            if self._name(source) != "tokenizer":
                yield Node(self._name(source), "tokenizer", _tokenizer(source, length))
        student = self.pipeline.student
        if student is not None and self._trimmed:
            config = trim_vocabulary.Config(min_count=student.token_min_count)
            if self._student not in self._teachers:
                yield Node(WHOLE, "tokenizer", _tokenizer(str(self._student), length))
            yield Node("tokenizer", "trim_vocabulary", config, (self._whole,))
        elif self._student is not None:
            yield Node("tokenizer", "tokenizer", _tokenizer(self._student, length))

    def same_tokens(self) -> bool:
        """Whether all teachers and the student cut a training text alike; trimming leaves all that occur once."""
        student = self.pipeline.student
        if student is not None and self._trimmed and student.token_min_count > 1:
            return False
        sources = dict.fromkeys((*self._teachers, self._student))
        if len(sources) < 2 or None in sources:
            return len(sources) < 2
        from edgekd.data.tokens import Tokenizer

        folders = (encoder_folder.find(str(name), weights=False) for name in sources)
        return len({Tokenizer.from_folder(folder, self.length) for folder in folders}) == 1

    @property
    def length(self) -> int | None:
        """Where texts are cut; None for as long as each model takes."""
        found: int | None = getattr(self.pipeline.data, "max_length", None) if self._reads else None
        return found

    @property
    def folders(self) -> dict[str, str]:
        """Every folder that says how many tokens its model takes, by what the pipeline calls it."""
        tables = (*self.pipeline.all_teachers, self.pipeline.student) if self._reads else ()
        names = [name for each in tables if each is not None for name in (each.encoder, each.tokenizer)]
        return {name: self.pipeline.folder(name) for name in names if name is not None}

    @property
    def _reads(self) -> bool:
        return self.pipeline.task in TEXTS

    @property
    def _trimmed(self) -> bool:
        return self._reads and self.pipeline.student is not None and self.pipeline.student.vocabulary == "trimmed"

    @property
    def _whole(self) -> str:
        """What the artifact is called that the student's trimmed tokenizer is a part of."""
        return self._name(str(self._student)) if self._student in self._teachers else WHOLE

    def _name(self, source: str) -> str:
        """What the artifact of a teacher's tokenizer is called."""
        if source == self._student and not self._trimmed:
            return "tokenizer"
        several = len(set(filter(None, self._teachers))) > 1
        return f"teacher_{self._teachers.index(source) + 1}_tokenizer" if several else "teacher_tokenizer"

    @cached_property
    def _known(self) -> tuple[str, ...]:
        """Where the teachers' tokenizers lie, each once."""
        names = [each.tokenizer or each.encoder for each in self.pipeline.all_teachers if self._reads]
        return tuple(dict.fromkeys(self.pipeline.folder(name) for name in names if name is not None))

    @cached_property
    def _teachers(self) -> tuple[str | None, ...]:
        """Where each teacher's tokenizer lies; None for one that reads nothing."""
        return tuple(self._of(number) for number in range(len(self.pipeline.all_teachers)))

    def _of(self, number: int) -> str | None:
        teacher = self.pipeline.all_teachers[number]
        if not self._reads or teacher.form == "outputs":
            return None
        named = teacher.tokenizer or teacher.encoder
        if named is not None:
            return self.pipeline.folder(named)
        table = ("teacher",) if self.pipeline.teacher is not None else ("teachers", number)
        return self._only(f"a teacher given as {teacher.form} = '…'", table)

    @cached_property
    def _student(self) -> str | None:
        """Where the student's tokenizer lies, or that of a teacher that goes on without one."""
        wanted = self.pipeline.student
        named = None if wanted is None else wanted.tokenizer or wanted.encoder
        if named is not None and self._reads:
            return self.pipeline.folder(named)
        return self._only("a student", ("student",)) if self._reads and wanted is not None else self._teachers[0]

    def _only(self, what: str, table: tuple[str | int, ...]) -> str:
        """The one tokenizer that is known, for a model whose table ``table`` names none."""
        if len(self._known) == 1:
            return self._known[0]
        shown = f"[{table[0]}]" if len(table) == 1 else f"[[{table[0]}]]"
        others = f", and teachers that read by {', '.join(self._known)}" if self._known else ""
        raise BadInputError(
            f"{self.pipeline.where(*table)}: found {what} without a tokenizer{others}, expected one for its texts",
            f"name the folder that has it: tokenizer = 'FOLDER' in {shown}",
        )


def _tokenizer(source: str, length: int | None) -> tokenizer.Config:
    """A tokenizer is read from JSON alone, so it takes no trust in a model's own code."""
    found = encoder_folder.find(source, weights=False)
    return tokenizer.Config(source=source, sha256=encoder_folder.digest(found), max_length=length)
