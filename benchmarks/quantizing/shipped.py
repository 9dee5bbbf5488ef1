"""Shipped: the models that edgekd's own pipelines have: the default student, and of minilm-search teacher and student.

Float files and calibration rows are what the pipelines' own steps make: out of a store where a build left them, or
made in the output folder. The search pipeline's student takes half an hour of training, which is not begun here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from distilling.image_gain import full_test

from edgekd.algorithms.agreement import cosines
from edgekd.data.bundled import full_files
from edgekd.data.sources import DEBIAN_FOLDER
from edgekd.float_models import final_float
from edgekd.tasks.base import Arrays, Task
from quantizing import steps
from quantizing.subject import FORMATS, Quality, Subject

TEXTS = 1_000  # that the teacher is scored on
TRAINED = ("teacher_outputs", "student_start", "student_float")  # steps that take long


def student(folder: Path, store: Path | None) -> Subject:
    """The default pipeline's student: accuracy on all 10,000 test images of Fashion-MNIST, of which it bundles 2,000.

    Trained in minutes where no store has it.

    Raises:
        AbsentError: Debian's package dataset-fashion-mnist isn't installed.

    """
    if not all(path.is_file() for path in full_files(DEBIAN_FOLDER)):
        raise steps.AbsentError("all test images come with Debian's package dataset-fashion-mnist")
    made = None
    if store is not None:
        with suppress(steps.AbsentError):
            made = _of_pipeline("student", "default", folder, store, TRAINED)
    made = made or _of_pipeline("student", "default", folder, folder / "store")
    return replace(made, **_tested(full_test()))


def search(folder: Path, store: Path | None) -> Subject:
    """The search pipeline's student: the reciprocal rank of each query's definition.

    Raises:
        AbsentError: no store was given, or it lacks the student.

    """
    if store is None:
        raise steps.AbsentError("the student of minilm-search needs a build's store: --store FOLDER")
    return _of_pipeline("minilm-search", "minilm-search", folder, store, TRAINED)


def minilm(folder: Path, _store: Path | None) -> Subject:
    """The search pipeline's teacher, all-MiniLM-L6-v2: the cosine to float of the vectors of texts."""
    store = folder / "store"
    whole = steps.planned("minilm-search", store)
    names = {form: f"teacher_{form}" for form in FORMATS}
    made = steps.made(whole, {*names.values(), "calibration"}, store)
    tokenizer = next(each for name, each in made.items() if name.endswith("tokenizer"))
    task = steps.task(whole, tokenizer, folder / "tokens")
    rows = np.sort(np.random.default_rng(0).permutation(task.count("test"))[:TEXTS])
    return Subject(
        name="minilm",
        metric="cosine to float",
        weights=made["teacher"].path,
        files={form: made[name].path for form, name in names.items()},
        calibration=made["calibration"].path,
        timed=task.representative(),
        rows=partial(_rows, task, rows),
        tested=f"texts-{TEXTS}",
        score=_closeness,
    )


def _of_pipeline(name: str, pipeline: str, folder: Path, store: Path, costly: tuple[str, ...] = ()) -> Subject:
    whole = steps.planned(pipeline, store)
    final, names = final_float(whole.pipeline), {form: f"{form}_float" for form in FORMATS}
    made = steps.made(whole, {*names.values(), "calibration", final}, store, costly)
    task = steps.task(whole, made.get("tokenizer"), folder / "tokens")
    return Subject(
        name=name,
        metric=task.metric,
        weights=made[final].path,
        files={form: made[step].path for form, step in names.items()},
        calibration=made["calibration"].path,
        timed=task.representative(),
        **_tested(task),
    )


def _tested(task: Task) -> dict[str, Any]:
    """All test rows of ``task``, and how it scores them."""
    count = task.count("test")
    return {
        "rows": partial(_rows, task, np.arange(count)),
        "tested": f"{task.row}s-{count}",
        "score": partial(_by_task, task),
    }


def _by_task(task: Task, outputs: npt.NDArray[Any], reference: npt.NDArray[Any]) -> Quality:
    return Quality(task.score(outputs).scores, more={"cosine": float(cosines(reference, outputs).mean())})


def _closeness(outputs: npt.NDArray[Any], reference: npt.NDArray[Any]) -> Quality:
    found = cosines(reference, outputs)
    return Quality(found, more={"least": float(found.min())})


def _rows(task: Task, rows: npt.NDArray[np.int64]) -> Iterator[Arrays]:
    return task.each("test", rows)
