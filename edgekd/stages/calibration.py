"""Freeze the calibration set: training rows only, the same number of each class, prepared as the model takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.data.splits import stratified
from edgekd.errors import BadInputError
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Arrays, Task
from edgekd.toml_file import Frozen

VERSION = 5
CONSUMES: tuple[tuple[Kind, ...], ...] = ()
PRODUCES = Kind.CALIBRATION
LIBRARIES = ("numpy",)
READS_DATA = True
PARTS = ("calibration", "held_out")
LABELS = "held_out_labels"
LEAST = 16  # rows: of fewer, single ones decide the ranges
OUTSIDE = 0.01  # share of the held-out values beyond the calibration set's, from which on the report says so


class Config(Frozen):
    """How many rows set the ranges. The selection rows, apart from these, choose between methods."""

    samples: Annotated[int, Field(ge=LEAST)] = 300
    seed: int | None = None  # of the draw; None: the build's


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the rows and the prepared inputs of each part, as 'PART/INPUT', and the held-out rows' labels."""
    task = context.task(inputs)
    rows = task.rows(context.seed)
    seed = context.seed if config.seed is None else config.seed
    drawn = rows.fit[_draw(task, rows.fit, config.samples, seed)]
    chosen = dict(zip(PARTS, (drawn, rows.selection), strict=True))
    parts = {part: task.inputs("train", chosen[part]) for part in PARTS}
    _refuse_useless(parts["calibration"], len(drawn), task.row)
    arrays = {f"{part}/{name}": values for part, inputs in parts.items() for name, values in inputs.items()}
    timed = {f"representative/{name}": values for name, values in task.representative().items()}
    labels = {} if task.labels is None else {LABELS: task.labels[rows.selection]}
    path = context.scratch / "calibration.npz"
    kept = {"calibration_rows": drawn, "held_out_rows": rows.selection, **arrays, **timed, **labels}
    np.savez(path, allow_pickle=False, **kept)
    digest = hashlib.sha256(b"".join(arrays[key].tobytes() for key in arrays if key.startswith("calibration/")))
    found = {"samples": len(drawn), "held_out": len(rows.selection), "classes": len(task.classes)}
    summary = f"{len(drawn)} training {task.row}s, sha256 {digest.hexdigest()[:12]}"
    problems = (*task.notes(), *_beyond(*parts.values()), *_fewer(len(drawn), config.samples, task.row))
    return Product(path, {**found, "digest": digest.hexdigest(), "problems": problems, "summary": summary})


def _refuse_useless(rows: Arrays, count: int, noun: str) -> None:
    """Too few rows, or all the same, set no ranges."""
    if count < LEAST:
        raise BadInputError(
            f"calibration: found {count} training {noun}s, expected at least {LEAST}: of fewer, single ones decide the "
            "ranges",
            "give more training data",
        )
    if all(np.array_equal(values, np.broadcast_to(values[:1], values.shape)) for values in rows.values()):
        raise BadInputError(
            f"calibration: found {count} training {noun}s that are all the same, expected some that differ",
            "look at what [data] reads",
        )


def _beyond(rows: Arrays, held_out: Arrays) -> Iterator[str]:
    """Where the calibration set doesn't span what other training rows hold."""
    for name, values in rows.items():
        if values.dtype.kind == "f":
            others = held_out[name]
            share = float(((others < values.min()) | (others > values.max())).mean())
            if share > OUTSIDE:
                yield f"{share:.1%} of the values of {name!r} in other training rows lie beyond the calibration set's"


def _fewer(count: int, wanted: int, noun: str) -> Iterator[str]:
    if count < wanted:
        yield f"the calibration set has {count} {noun}s, {wanted} were asked for: there are no more to train on"


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
