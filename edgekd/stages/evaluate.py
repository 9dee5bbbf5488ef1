"""Run a model over the whole test split and keep its outputs: quality, intervals and parity come from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Arrays, Task
from edgekd.toml_file import Frozen
from edgekd.units import plural

VERSION = 5
CONSUMES = ((Kind.TORCH, Kind.ONNX, Kind.TFLITE, Kind.KERAS, Kind.TABLE), (Kind.TOKENIZER,))
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("numpy", "torch", "onnxruntime", "ai-edge-litert")
READS_DATA = True


class Config(Frozen):
    """Several models are scored as one by their weights; a temperature can be fitted to the logits."""

    shares: tuple[float, ...] = ()
    temperature: bool = False
    runtimes: tuple[str, ...] = ()  # of teachers: what runs them beyond LIBRARIES, as 'NAME==VERSION'


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the outputs (rows, width), what each item scored (items,), and what further figures are made of."""
    from edgekd.models.predicting import open_models

    task = context.task(inputs)
    model = open_models(inputs, config.shares, context.threads)
    outputs = model.outputs(task, "test", np.arange(task.count("test")))
    scored = task.score(outputs)
    path = context.scratch / "outputs.npz"
    more = {**scored.more, **_outside(model, task)}
    np.savez(path, allow_pickle=False, outputs=outputs, scores=scored.scores, **more)
    quality, items = float(scored.scores.mean()), len(scored.scores)
    facts = {"quality": quality, "items": items, "data": task.title, "metric": task.metric, "item": task.item}
    if config.temperature:
        facts["temperature"] = _temperature(model, task, context.seed)
    if task.classes:
        facts["classes"] = task.classes
    summary = f"{task.metric} {quality:.2%} of {items:,} test {plural(task.item)}"
    return Product(path, {**facts, "kind": task.outputs, "problems": task.notes(), "summary": summary})


def _outside(model: Any, task: Task) -> Arrays:
    """Outputs on rows that belong to no class, where there are any: for the AUROC of confidence."""
    count = task.count("out_of_domain")
    known = count > 0 and model.covers(task, "out_of_domain")
    return {"out_of_domain": model.outputs(task, "out_of_domain", np.arange(count))} if known else {}


def _temperature(model: Any, task: Task, seed: int) -> float:
    """The temperature that fits the model's own logits best, on training rows kept for choosing."""
    from edgekd.algorithms.confidence import fit_temperature

    rows = task.rows(seed).selection
    labels = task.labels
    if labels is None:
        raise TypeError(f"found no labels in {task.title!r}, and so no temperature")
    return fit_temperature(model.outputs(task, "train", rows), labels[rows])
