"""Subject: one model of the benchmark: its float files, the rows that quantizers see, and how outputs are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import sha256
from edgekd.tasks import TaskData
from edgekd.tasks.base import Arrays, Outputs, Rows, Scored, Split, Task

Scores = npt.NDArray[np.float64]
FORMATS = ("onnx", "tflite")
KINDS = {".safetensors": Kind.TORCH, ".onnx": Kind.ONNX, ".tflite": Kind.TFLITE, ".npz": Kind.CALIBRATION}


@dataclass(frozen=True)
class Quality:
    """What each test item scored, the group that it belongs to, and further figures worth a look."""

    scores: Scores
    groups: npt.NDArray[np.int64] | None = None  # items of one group are not independent
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A model in float, and the data that all tools are given."""

    name: str
    metric: str
    weights: Path  # .safetensors
    files: Mapping[str, Path]  # the float file of each format
    calibration: Path  # as edgekd's stage 'calibration' writes it
    timed: Arrays  # one row
    rows: Callable[[], Iterator[Arrays]]  # the test rows, each by itself
    tested: str  # what they are called: outputs that are kept are of these very rows
    score: Callable[[npt.NDArray[Any], npt.NDArray[Any]], Quality]  # of outputs, and of the float file's


class Representative(Task):
    """The least that an export has to know of a task: one row, and what models give for it."""

    metric = "none"

    def __init__(self, row: Arrays, outputs: Outputs) -> None:
        self.row_inputs, self.outputs = row, outputs

    def representative(self) -> Arrays:
        """The row."""
        return self.row_inputs

    def count(self, split: Split) -> int:
        """None: there is no data."""
        del split
        return 0

    def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
        """Always the one row."""
        del split, rows, view
        return self.row_inputs

    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        """Nothing is scored."""
        return Scored(np.zeros(len(outputs)))


@dataclass(frozen=True)
class _Data:
    task: Task

    def open(self, _tokenizer: Path | None, _scratch: Path) -> Task:
        return self.task


def artifact(path: Path, **facts: Any) -> Artifact:
    """A file as the store would hand it on."""
    digest, size = sha256(path), path.stat().st_size
    kind = KINDS[path.suffix]
    return Artifact(
        key="", kind=kind, path=path, sha256=digest, size_bytes=size, made_by="benchmark", inputs=(), facts=facts
    )


def context(scratch: Path, task: Task | None = None) -> Context:
    """What a stage may use from outside: a folder, one thread, and of the data one row at most."""
    scratch.mkdir(parents=True, exist_ok=True)
    data = cast("TaskData", _Data(task) if task is not None else None)
    return Context(scratch, scratch, data, 0, 1, lambda *_: None)


def exported(weights: Path, row: Arrays, outputs: Outputs, folder: Path) -> dict[str, Path]:
    """The float files of both formats as edgekd's own stages export them; what is there is taken."""
    from edgekd.stages import export_onnx, export_tflite

    found = {form: folder / f"model.{form}" for form in FORMATS}
    for (form, path), stage in zip(found.items(), (export_onnx, export_tflite), strict=False):
        if not path.is_file():
            scratch = context(folder / f"export-{form}", Representative(row, outputs))
            stage.run((artifact(weights),), stage.Config(), scratch).path.rename(path)
    return found


def write_calibration(
    path: Path, calibration: Arrays, held_out: Arrays, timed: Arrays, labels: Rows | None = None
) -> Path:
    """Write the rows as edgekd's stage 'calibration' does, unless they are there."""
    parts = {"calibration": calibration, "held_out": held_out, "representative": timed}
    arrays = {f"{part}/{name}": values for part, rows in parts.items() for name, values in rows.items()}
    more = {} if labels is None else {"held_out_labels": labels}
    if not path.is_file():
        np.savez(path, allow_pickle=False, **arrays, **more)
    return path
