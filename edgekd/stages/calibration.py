"""Freeze the calibration set: training rows only, the same number of each class, prepared as the model takes them."""

from __future__ import annotations

import hashlib
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.data.splits import stratified
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Arrays, Task
from edgekd.toml_file import Frozen

VERSION = 3
CONSUMES: tuple[tuple[Kind, ...], ...] = ()
PRODUCES = Kind.CALIBRATION
LIBRARIES = ("numpy",)
READS_DATA = True
PARTS = ("calibration", "held_out")
LABELS = "held_out_labels"


class Config(Frozen):
    """How many rows set the ranges. The selection rows, apart from these, choose between methods."""

    samples: Annotated[int, Field(ge=1)] = 300


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the rows and the prepared inputs of each part, as 'PART/INPUT', and the held-out rows' labels."""
    task = context.task(inputs)
    rows = task.rows(context.seed)
    drawn = rows.fit[_draw(task, rows.fit, config.samples, context.seed)]
    chosen = dict(zip(PARTS, (drawn, rows.selection), strict=True))
    arrays = {f"{part}/{name}": values for part in PARTS for name, values in task.inputs("train", chosen[part]).items()}
    timed = {f"representative/{name}": values for name, values in task.representative().items()}
    labels = {} if task.labels is None else {LABELS: task.labels[rows.selection]}
    path = context.scratch / "calibration.npz"
    kept = {"calibration_rows": drawn, "held_out_rows": rows.selection, **arrays, **timed, **labels}
    np.savez(path, allow_pickle=False, **kept)
    digest = hashlib.sha256(b"".join(arrays[key].tobytes() for key in arrays if key.startswith("calibration/")))
    found = {"samples": len(drawn), "held_out": len(rows.selection), "classes": len(task.classes)}
    summary = f"{len(drawn)} training {task.row}s, sha256 {digest.hexdigest()[:12]}"
    return Product(path, {**found, "digest": digest.hexdigest(), "problems": task.notes(), "summary": summary})


def part(artifact: Artifact, name: str) -> Arrays:
    """The inputs of one part of a calibration artifact, by name."""
    with np.load(artifact.path) as stored:
        return {key.removeprefix(f"{name}/"): stored[key] for key in stored.files if key.startswith(f"{name}/")}


def labels(artifact: Artifact) -> npt.NDArray[np.int64] | None:
    """The held-out rows' labels; None for a task without labels."""
    with np.load(artifact.path) as stored:
        return stored[LABELS] if LABELS in stored.files else None


def _draw(task: Task, fit: npt.NDArray[np.int64], samples: int, seed: int) -> npt.NDArray[np.int64]:
    """Positions in ``fit``: the same number of each class, or any where there are no classes."""
    if task.labels is not None and task.classes:
        return stratified(task.labels[fit], samples, len(task.classes), seed, f"{task.row}s")
    return np.sort(np.random.default_rng(seed).permutation(len(fit))[:samples])
