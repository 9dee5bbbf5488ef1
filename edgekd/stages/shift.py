"""Score a model on test items that were made harder: noisier images, texts with typos. Part of the proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Task
from edgekd.toml_file import Frozen
from edgekd.units import plural

VERSION = 1
CONSUMES = ((Kind.TORCH, Kind.ONNX, Kind.TFLITE, Kind.KERAS), (Kind.TOKENIZER,))
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("numpy", "torch", "onnxruntime", "ai-edge-litert")
READS_DATA = True
AS_THEY_ARE = "/"


class Config(Frozen):
    """How many test items, and several models' weights."""

    items: Annotated[int, Field(ge=1)] = 300
    shares: tuple[float, ...] = ()
    runtimes: tuple[str, ...] = ()  # of teachers: what runs them beyond LIBRARIES, as 'NAME==VERSION'


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write what each item scored as it is, and under every kind and level of shift."""
    from edgekd.models.predicting import open_models

    task, model = context.task(inputs), open_models(inputs, config.shares, context.threads)
    scores = {}
    doses = dict(shifted(task, config.items, context.seed))
    for number, (dose, harder) in enumerate(doses.items(), 1):
        outputs = model.outputs(harder, "test", np.arange(harder.count("test")))
        scores[dose] = harder.score(outputs).scores
        context.progressed(number, len(doses), dose.partition("/")[0])
    return kept(scores, task, context)


def shifted(task: Task, items: int, seed: int) -> Iterator[tuple[str, Task]]:
    """The first ``items`` test items as they are, '/', and under every kind and level of shift, as 'KIND/LEVEL'."""
    yield AS_THEY_ARE, task.under(None, 0.0, items, seed)
    for kind, levels in task.shifts().items():
        for level in levels:
            yield f"{kind}/{level:g}", task.under(kind, level, items, seed)


def kept(scores: Mapping[str, npt.NDArray[np.float64]], task: Task, context: Context) -> Product:
    """The file of what each item scored under each dose."""
    path = context.scratch / "shifted.npz"
    np.savez(path, allow_pickle=False, **dict(scores))
    worst = min(scores, key=lambda name: float(scores[name].mean()))
    plain, least = float(scores[AS_THEY_ARE].mean()), float(scores[worst].mean())
    summary = (
        f"{plain:.1%} of {len(scores[AS_THEY_ARE])} {plural(task.item)}, {least:.1%} under {worst.replace('/', ' ')}"
    )
    return Product(path, {"summary": summary})
