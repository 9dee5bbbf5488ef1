"""Quantization-aware distillation: train on as before, while the student runs as its INT8 files will."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.stages.quantizing import Granularity
from edgekd.stages.teaching import TeachingConfig, ViewsConfig, teach
from edgekd.store import Product
from edgekd.tasks.base import MASK, Task

if TYPE_CHECKING:
    from torch import Tensor

    from edgekd.models.simulation import DynamicSimulation, Simulation

VERSION = 1
CONSUMES = ((Kind.TORCH,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "numpy")
READS_DATA = True
OBSERVED = 128  # rows from which ranges start
BATCH = 32


class StepConfig(TeachingConfig):
    """Train with simulated INT8, as the last step that changes weights; the ranges learned are those exported."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.01
    precision: Literal["float32"] = "float32"  # bfloat16 has as many bits as INT8, and would hide what is lost


class Config(StepConfig, ViewsConfig):
    """The same, with the views, and how the quantizers will share the weights' steps."""

    granularity: Granularity = "per-channel"


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Train, and keep the float weights of the last epoch with the ranges that were learned."""
    import torch

    from edgekd.models import loading

    torch.set_num_threads(context.threads)
    module, spec = loading.load(inputs[0].path)
    simulation = _simulation(loading.channels_last(module), config, context.task(inputs), context)
    record, _ = teach(module, inputs[1:], config, context, simulation)
    simulation.end()
    ranges, quality = simulation.ranges(), record.qualities[-1]
    learned = f", {len(ranges)} ranges learned" if ranges else ""
    return Product(
        loading.save(module, spec, context.scratch / "student.safetensors", ranges),
        {
            "selection_quality": record.qualities,
            "epoch_losses": record.losses,
            "ranges": len(ranges),
            "summary": f"selection quality {quality:.1%} in simulated INT8, {config.epochs} epochs{learned}",
        },
    )


def _simulation(module: Any, config: Config, task: Task, context: Context) -> Simulation | DynamicSimulation:
    """Start to simulate what the quantizers do: transformers have no fixed ranges."""
    from edgekd.models import simulation

    fit, per_channel = task.rows(context.seed).fit, config.granularity == "per-channel"
    if MASK in task.inputs("train", fit[:1]):
        return simulation.DynamicSimulation(module, per_channel=per_channel)
    drawn = np.sort(np.random.default_rng(context.seed).permutation(fit)[:OBSERVED])
    batches = _batches(task, drawn)
    made = simulation.Simulation(module, next(batches), per_channel=per_channel)
    made.begin(_batches(task, drawn))
    return made


def _batches(task: Task, rows: Any) -> Iterator[Sequence[Tensor]]:
    from edgekd.models.running import tensors

    for start in range(0, len(rows), BATCH):
        yield tensors(task.inputs("train", rows[start : start + BATCH]))
