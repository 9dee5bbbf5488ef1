"""What report.html shows beyond report.json: operators, items that INT8 answers otherwise, the command of the build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from edgekd.errors import BadInputError

NAME = "details.json"
SCORES = "made/scores.npz"  # what each test item scored, by model


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One operator of a shipped file, with its share of what ``Details.share_of`` says."""

    artifact: str
    name: str
    op_type: str
    macs: int
    weight_bytes: int
    int8: bool  # whether it multiplies 8-bit integers
    share: float


@dataclass(frozen=True, slots=True)
class TimedRow:
    """One operator that a runtime ran, with its share of the time of all."""

    name: str
    op_type: str
    runs_in: str  # int8, float, conversion, neither, not told
    provider: str
    share: float


@dataclass(frozen=True, slots=True)
class TimedFile:
    """How long the operators of a shipped file took, of which ``operators`` are the ten that took longest."""

    artifact: str
    provenance: str
    unavailable: str = ""  # why nothing is known
    operators: tuple[TimedRow, ...] = ()
    count: int = 0  # all that the runtime ran
    int8_share: float = 0.0  # of the time
    float_share: float = 0.0
    requested: str = ""
    fell_back: tuple[str, ...] = ()  # that something else ran than what was asked to
    runs: int = 0
    slowdown: float = 0.0  # by profiling: how many times as long a run took


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """The resident bytes of a process that loads and runs a shipped file, and the seconds at which it had done what."""

    artifact: str
    provenance: str
    unavailable: str = ""
    seconds: tuple[float, ...] = ()
    resident_bytes: tuple[float, ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """How many operators a shipped file has, and how many of its multiply-accumulates are done in INT8."""

    artifact: str
    operators: int
    int8_share: float


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """A test item that an INT8 file answers otherwise than the teacher; ``content`` is a PNG in base64, or the text."""

    row: int
    kind: Literal["image", "text"]
    content: str
    label: str
    teacher: str
    answers: Mapping[str, str]  # of each INT8 file


@dataclass(frozen=True, slots=True)
class Details:
    """Exactly details.json."""

    format_version: Literal[1] = 1
    command: str = ""  # that makes the same again
    share_of: str = ""  # what an operator's share is one of
    operators: tuple[OperatorRow, ...] = ()  # the ten largest of each file
    counts: tuple[OperatorCount, ...] = ()
    differing: Mapping[str, int] = field(default_factory=dict)  # test items that a file answers otherwise
    examples: tuple[ExampleRow, ...] = ()
    timed: tuple[TimedFile, ...] = ()
    memory: tuple[MemoryRow, ...] = ()


def write(details: Details, run: Path) -> None:
    """Write details.json into a run folder."""
    (run / NAME).write_text(json.dumps(asdict(details), indent=1) + "\n", encoding="utf-8")


def read(run: Path) -> Details:
    """Read what a run folder has of it; nothing where an older edgekd made the run, or the report lies alone.

    Raises:
        BadInputError: the file isn't what edgekd writes.

    """
    path = run / NAME
    if not path.is_file():
        return Details()
    try:
        return TypeAdapter(Details).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInputError(f"{path}: {place}: {first['msg']}", "the file was changed after edgekd wrote it") from error
