"""The training loop of every student: seeded, checkpointed after each epoch, resumable to the same weights."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.errors import StageError


@dataclass(frozen=True, slots=True)
class Batch:
    """Model input (B, 3, H, W), the teacher's logits (B, classes) and the labels (B,)."""

    inputs: Tensor
    teacher: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: SGD with Nesterov momentum, linear warm-up, then cosine decay to zero."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float = 0.15  # share of the steps
    momentum: float = 0.9

    def rate(self, progress: float) -> float:
        """The learning rate after ``progress`` (0 to 1) of the steps."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        share = (progress - self.warmup) / (1 - self.warmup)
        return float(self.learning_rate * 0.5 * (1 + np.cos(np.pi * share)))


@dataclass(frozen=True, slots=True)
class Course:
    """What one training run is made of."""

    batches: Callable[[int], Iterator[Batch]]  # epoch -> its batches
    steps: int  # batches in an epoch
    loss: Callable[[Tensor, Batch], Tensor]
    quality: Callable[[nn.Module], float]
    checkpoint: Path
    progress: Callable[[int, int, str], None]  # done, total, text


def batch_rows(
    rows: np.ndarray[tuple[int], np.dtype[np.int64]], size: int, seed: int, epoch: int
) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Positions in ``rows``, shuffled by seed and epoch alone, in whole batches of ``size`` (or one smaller one)."""
    order = np.random.default_rng([seed, epoch]).permutation(len(rows))
    whole = max(len(order) // size, 1)
    for start in range(whole):
        yield order[start * size : (start + 1) * size]


def fit(model: nn.Module, schedule: Schedule, course: Course) -> list[float]:
    """Train ``model`` in place and return the quality after each epoch.

    A checkpoint of an earlier, interrupted run is taken up, and gives the same weights as an uninterrupted one:
    the order of the batches depends on seed and epoch, the learning rate on the step.

    Raises:
        StageError: the loss is no longer a number.

    """
    optimizer = torch.optim.SGD(
        model.parameters(),
        schedule.learning_rate,
        schedule.momentum,
        weight_decay=schedule.weight_decay,
        nesterov=True,
        fused=True,  # one kernel for all tensors: the step was 7 % of the time in a profile
    )
    qualities = resume(model, optimizer, course.checkpoint)
    for epoch in range(len(qualities), schedule.epochs):
        shown = f" quality {qualities[-1]:.1%}" if qualities else ""
        _Epoch(model, optimizer, schedule, course, epoch).train(shown)
        qualities.append(course.quality(model.eval()))
        _save(model, optimizer, qualities, course.checkpoint)
    return qualities


def resume(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> list[float]:
    """Load the checkpoint at ``path`` if there is one, and return the qualities of the epochs that it holds."""
    if not path.is_file():
        return []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return list(state["qualities"])


@dataclass(frozen=True, slots=True)
class _Epoch:
    """One pass over the batches."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    course: Course
    number: int

    def train(self, shown: str) -> None:
        self.model.train()
        first, total = self.number * self.course.steps, self.schedule.epochs * self.course.steps
        began = time.monotonic()
        for step, batch in enumerate(self.course.batches(self.number), first):
            loss = self.step(batch, step, total)
            rate = (step + 1 - first) * len(batch.labels) / (time.monotonic() - began)
            text = f"epoch {self.number + 1}/{self.schedule.epochs} loss {loss:.3f}{shown} {rate:,.0f}/s"
            self.course.progress(step + 1, total, text)

    def step(self, batch: Batch, step: int, total: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(step / total)
        loss = self.course.loss(self.model(batch.inputs), batch)
        if not torch.isfinite(loss):
            raise StageError(
                f"the loss is {loss.item()} in step {step + 1} of {total} (epoch {self.number + 1})",
                "lower learning_rate; the checkpoint before this epoch is kept",
            )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.item())


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, qualities: list[float], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "qualities": qualities}, partial)
    os.replace(partial, path)
