"""What distilling and recovering from pruning share: options, batches, and one call that trains a student."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact
from edgekd.data.splits import split_training
from edgekd.data.views import AugmentConfig, view
from edgekd.stages.base import Context
from edgekd.toml_file import Frozen


class TeachingConfig(Frozen):
    """How a student is taught."""

    epochs: Annotated[int, Field(ge=1, le=10_000)]
    loss: Literal["z-scored-logits", "logits"] = "z-scored-logits"
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9  # weight of the teacher; 1 - alpha goes to the labels
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4


def teach(module: Any, outputs: Artifact, config: TeachingConfig, context: Context) -> list[float]:
    """Train ``module`` in place; return its quality on the selection rows after each epoch."""
    import torch

    from edgekd.algorithms import losses, training
    from edgekd.models import loading

    torch.set_num_threads(context.threads)
    data = context.data.set
    rows = split_training(data.train.labels, context.data.config.selection, len(data.classes), context.seed)
    teacher = torch.from_numpy(np.load(outputs.path))
    augment = AugmentConfig(**outputs.facts["augment"])  # the views that the teacher saw
    terms = losses.LossTerms(config.alpha, config.temperature, standardized=config.loss == "z-scored-logits")

    def batches(epoch: int) -> Iterator[training.Batch]:
        index = epoch % augment.views
        for positions in training.batch_rows(rows.fit, config.batch_size, context.seed, epoch):
            chosen = rows.fit[positions]
            images = view(data.train.images, chosen, index, augment)
            yield training.Batch(
                to_input(images),
                teacher[index][torch.from_numpy(positions)],
                torch.from_numpy(data.train.labels[chosen]),
            )

    schedule = training.Schedule(config.epochs, config.batch_size, config.learning_rate, config.weight_decay)
    course = training.Course(
        batches,
        max(len(rows.fit) // config.batch_size, 1),
        lambda logits, batch: losses.student_loss(logits, batch.teacher, batch.labels, terms),
        lambda model: accuracy(model, data.train.images[rows.selection], data.train.labels[rows.selection]),
        Path(context.partial / "checkpoint.pt"),
        context.progressed,
    )
    return training.fit(loading.channels_last(module), schedule, course)


def to_input(images: np.ndarray[Any, Any]) -> Any:
    """Prepared images as a tensor in the memory layout that convolutions are fastest in."""
    import torch

    from edgekd.tasks import image_classification

    return torch.from_numpy(image_classification.prepare(images)).contiguous(memory_format=torch.channels_last)


def logits_of(module: Any, images: np.ndarray[Any, Any], batch_size: int = 250) -> np.ndarray[Any, Any]:
    """The logits (N, classes) of ``module`` for ``images`` (N, H, W, C)."""
    import torch

    with torch.inference_mode():
        parts = [
            module(to_input(images[start : start + batch_size])).numpy() for start in range(0, len(images), batch_size)
        ]
    return np.concatenate(parts)


def accuracy(module: Any, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """Top-1 accuracy of ``module``."""
    from edgekd.tasks import image_classification

    return float(image_classification.correct(logits_of(module, images), labels).mean())
