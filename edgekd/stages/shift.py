"""Score a model on test items that were made harder: noisier images, texts with typos. Part of the proof."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen
from edgekd.units import plural

VERSION = 1
CONSUMES = ((Kind.TORCH, Kind.ONNX, Kind.TFLITE, Kind.KERAS), (Kind.TOKENIZER,))
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("numpy", "torch", "onnxruntime", "ai-edge-litert")
READS_DATA = True


class Config(Frozen):
    """How many test items, and several models' weights."""

    items: Annotated[int, Field(ge=1)] = 300
    shares: tuple[float, ...] = ()
    runtimes: tuple[str, ...] = ()  # of teachers: what runs them beyond LIBRARIES, as 'NAME==VERSION'


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write what each item scored under every kind and level of shift, as 'KIND/LEVEL', and as it is, as '/'."""
    from edgekd.models.predicting import open_models

    task, model = context.task(inputs), open_models(inputs, config.shares, context.threads)
    doses = [(kind, level) for kind, levels in task.shifts().items() for level in levels]
    scores = {}
    for number, (kind, level) in enumerate([(None, 0.0), *doses], 1):
        harder = task.under(kind, level, config.items, context.seed)
        outputs = model.outputs(harder, "test", np.arange(harder.count("test")))
        scores["/" if kind is None else f"{kind}/{level:g}"] = harder.score(outputs).scores
        context.progressed(number, len(doses) + 1, kind or "")
    path = context.scratch / "shifted.npz"
    np.savez(path, allow_pickle=False, **scores)
    worst = min(scores, key=lambda name: float(scores[name].mean()))
    plain, least = float(scores["/"].mean()), float(scores[worst].mean())
    summary = f"{plain:.1%} of {len(scores['/'])} {plural(task.item)}, {least:.1%} under {worst.replace('/', ' ')}"
    return Product(path, {"summary": summary})
