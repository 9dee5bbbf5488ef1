"""Run a model over the whole test split and keep its outputs: quality, intervals and parity come from them."""

from __future__ import annotations

import numpy as np

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context, NoConfig
from edgekd.store import Product

VERSION = 1
CONSUMES = ((Kind.TORCH, Kind.ONNX, Kind.TFLITE),)
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("numpy", "torch", "onnxruntime", "ai-edge-litert")
READS_DATA = True
Config = NoConfig


def run(inputs: tuple[Artifact, ...], _config: NoConfig, context: Context) -> Product:
    """Write the logits (N, classes) and what each item scored (N,)."""
    from edgekd.tasks import image_classification

    test = context.data.set.test
    logits = _logits(inputs[0], test.images, context)
    scores = image_classification.correct(logits, test.labels)
    path = context.scratch / "outputs.npz"
    np.savez(path, allow_pickle=False, logits=logits, scores=scores)
    facts = {"quality": float(scores.mean()), "items": len(scores), "data": context.data.set.title}
    return Product(path, {**facts, "summary": f"{scores.mean():.2%} of {len(scores):,} test images"})


def _logits(
    model: Artifact, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], context: Context
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    from edgekd.runtimes import BY_KIND
    from edgekd.tasks import image_classification

    if model.kind in BY_KIND:
        runner = BY_KIND[model.kind].Runner(model.path, context.threads)
        return np.asarray(runner.run(image_classification.prepare(images)))
    import torch

    from edgekd.models import loading
    from edgekd.stages.teaching import logits_of

    torch.set_num_threads(context.threads)
    module = loading.channels_last(loading.load(model.path)[0])
    return np.asarray(logits_of(module, images))
