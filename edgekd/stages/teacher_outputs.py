"""The teacher's logits for every view of every fitted training image: computed once, then reused."""

from __future__ import annotations

import numpy as np

from edgekd.artifact import Artifact, Kind
from edgekd.data.splits import split_training
from edgekd.data.views import AugmentConfig, view
from edgekd.stages.base import Context
from edgekd.store import Product

VERSION = 1
CONSUMES = ((Kind.TORCH,),)
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("torch", "numpy")
READS_DATA = True
BATCH = 256


class Config(AugmentConfig):
    """Which views the teacher sees; the student sees the same."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write logits (views, rows, classes) as float32."""
    import torch

    from edgekd.models import loading
    from edgekd.tasks import image_classification

    torch.set_num_threads(context.threads)
    module = loading.channels_last(loading.load(inputs[0].path)[0])
    data = context.data.set
    rows = split_training(data.train.labels, context.data.config.selection, len(data.classes), context.seed).fit
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    logits = np.empty((config.views, len(rows), len(data.classes)), np.float32)
    with torch.inference_mode():
        for index in range(config.views):
            for number, batch in enumerate(batches):
                images = image_classification.prepare(view(data.train.images, batch, index, config))
                start = number * BATCH
                logits[index, start : start + len(batch)] = module(
                    torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
                ).numpy()
                context.progressed(index * len(batches) + number + 1, config.views * len(batches), "")
    path = context.scratch / "logits.npy"
    np.save(path, logits)
    return Product(path, {"augment": config.model_dump(), "summary": f"{config.views} views of {len(rows):,} images"})
