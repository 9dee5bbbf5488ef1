"""Run a torch module on a task's rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgekd.tasks.base import Arrays, Rows, Split, Task

BATCH = 250
BATCH_TOKENS = 2_048  # activations that stay in the caches: 1.3 times as fast as 250 short texts at once


def tensors(arrays: Arrays) -> tuple[Tensor, ...]:
    """Inputs as tensors, images (N, C, H, W) in the memory layout that convolutions are fastest in."""
    made = (torch.from_numpy(np.ascontiguousarray(values)) for values in arrays.values())
    return tuple(each.contiguous(memory_format=torch.channels_last) if each.ndim == 4 else each for each in made)


def outputs_of(module: nn.Module, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
    """The outputs (rows, width) of ``module``, in the order of ``rows``; texts of like length run together."""
    places = list(batches(task, split, rows))
    with torch.inference_mode():
        outputs = np.concatenate(
            [module(*tensors(task.inputs(split, rows[chosen], view))).float().numpy() for chosen in places]
        )
    unsorted = np.empty_like(outputs)
    unsorted[np.concatenate(places)] = outputs
    return unsorted


def batches(task: Task, split: Split, rows: Rows) -> Iterator[Rows]:
    """Places in ``rows``, BATCH at a time; texts by length, and fewer of them where they would make too many tokens."""
    lengths = task.lengths(split, rows)
    order = np.arange(len(rows)) if lengths is None else np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        size = BATCH
        if lengths is not None:
            longest = int(lengths[order[start : start + BATCH]].max())
            size = max(1, min(BATCH, BATCH_TOKENS // max(longest, 1)))
        yield order[start : start + size]
        start += size
