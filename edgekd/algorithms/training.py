"""The training loop of every student: seeded, checkpointed after each epoch, resumable to the same weights."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from edgekd.errors import StageError

Optimizer = Literal["sgd", "adamw"]
Precision = Literal["float32", "bfloat16"]
Positions = npt.NDArray[np.int64]
BUCKET = 50  # batches whose rows are sorted by length together


class Batch(Protocol):
    """What the model turns into a loss; its length is the number of rows."""

    def __len__(self) -> int:
        """The number of rows."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: linear warm-up, then cosine decay to zero."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float = 0.15  # share of the steps
    momentum: float = 0.9  # of SGD (Nesterov); AdamW keeps torch's betas
    optimizer: Optimizer = "sgd"
    precision: Precision = "float32"
    accumulate: int = 1  # batches whose mean loss a step follows; an epoch's last group may have fewer

    def group(self, batch: int, batches: int) -> range:
        """The batches of an epoch of ``batches`` that one step is made of, with ``batch`` among them.

        >>> schedule = Schedule(1, 8, 0.1, 0.0, accumulate=4)
        >>> schedule.group(5, 10), schedule.group(9, 10)
        (range(4, 8), range(8, 10))
        """
        first = batch - batch % self.accumulate
        return range(first, min(first + self.accumulate, batches))

    def groups(self, batches: int) -> int:
        """How many steps an epoch of ``batches`` has."""
        return -(-batches // self.accumulate)

    def for_batches(self, batches: int) -> Schedule:
        """The same without a warm-up that would be shorter than one step: its only rate would be 0."""
        return self if self.warmup * self.epochs * self.groups(batches) >= 1 else replace(self, warmup=0.0)

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
    quality: Callable[[], float]  # of the model as it stands
    checkpoint: Path
    progress: Callable[[int, int, str], None]  # done, total, text


@dataclass(slots=True)
class Record:
    """What a training run saw: the quality after each epoch, and the mean loss of each."""

    qualities: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def batch_rows(
    rows: Positions, size: int, seed: int, epoch: int, lengths: npt.NDArray[np.int64] | None = None
) -> Iterator[Positions]:
    """Positions in ``rows``, shuffled by seed and epoch alone, in whole batches of ``size`` (or one smaller one).

    With ``lengths`` (rows,) the rows of a batch are of about one length, so that little is padded: the rows of every
    BUCKET batches are sorted, and the batches then come in random order.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(rows))
    starts = np.arange(max(len(order) // size, 1)) * size
    if lengths is not None:
        for first in range(0, len(order), BUCKET * size):
            part = order[first : first + BUCKET * size]
            order[first : first + BUCKET * size] = part[np.argsort(lengths[part], kind="stable")]
        generator.shuffle(starts)
    for start in starts:
        yield order[start : start + size]


def fit(model: nn.Module, schedule: Schedule, course: Course) -> Record:
    """Train ``model`` in place: model(batch, progress) is its loss, progress being the share of the steps done.

    A checkpoint of an earlier, interrupted run is taken up, and gives the same weights as an uninterrupted one:
    the order of the batches depends on seed and epoch, the learning rate on the step, and the last batch of an epoch
    ends a step, so that no gradient is left over. Under ``accelerate launch`` every
    process calls this with its own part of each batch, and the gradients are averaged.

    Raises:
        StageError: the loss or a weight is no longer a number; the last checkpoint is kept.

    """
    # Of accelerate the processes alone: its precision is one for the life of a process, where each step of a pipeline
    # may have its own, and it would count batches to accumulate across epochs.
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=True,  # where the batches are too
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    optimizer = _optimizer([each for each in model.parameters() if each.requires_grad], schedule)
    record = resume(model, optimizer, course.checkpoint)
    prepared, stepper = accelerator.prepare(model, optimizer)
    run = _Run(prepared, stepper, accelerator, schedule.for_batches(course.steps), course)
    for epoch in range(len(record.qualities), schedule.epochs):
        shown = f" quality {record.qualities[-1]:.1%}" if record.qualities else ""
        record.losses.append(run.epoch(epoch, shown))
        run.refuse_lost_weights(epoch)
        model.eval()
        record.qualities.append(course.quality())
        if accelerator.is_main_process:
            _save(model, optimizer, record, course.checkpoint)
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return record


def resume(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> Record:
    """Load the checkpoint at ``path`` if there is one, and return what its epochs gave."""
    if not path.is_file():
        return Record()
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Record(list(state["qualities"]), list(state["losses"]))


def _optimizer(parameters: Sequence[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    rate, decay = schedule.learning_rate, schedule.weight_decay
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    # fused: one kernel for all tensors; the step was 7 % of the time in a profile
    return torch.optim.SGD(parameters, rate, schedule.momentum, weight_decay=decay, nesterov=True, fused=True)


@dataclass(frozen=True, slots=True)
class _Run:
    """A model, what trains it, and on what."""

    model: nn.Module
    optimizer: Any  # accelerate's, which looks like torch's
    accelerator: Accelerator
    schedule: Schedule
    course: Course

    def epoch(self, number: int, shown: str) -> float:
        """One pass over the batches; its mean loss."""
        self.model.train()
        total = self.schedule.epochs * self.course.steps
        began, rows, losses = time.monotonic(), 0, 0.0
        for index, batch in enumerate(self.course.batches(number)):
            loss = self.batch(batch, number, index)
            rows, losses = rows + len(batch), losses + loss
            rate = rows / (time.monotonic() - began)
            text = f"epoch {number + 1}/{self.schedule.epochs} loss {loss:.3f}{shown} {rate:,.0f}/s"
            self.course.progress(number * self.course.steps + index + 1, total, text)
        return losses / self.course.steps

    def batch(self, batch: Batch, epoch: int, index: int) -> float:
        """Add a batch's gradients to its group's, and take a step if it is the last of them; its loss."""
        batches, group = self.course.steps, self.schedule.group(index, self.course.steps)
        last = index == group[-1]
        progress = self._progress(epoch, index)
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            with self._precision():
                loss: Tensor = self.model(batch, progress)
            if not torch.isfinite(loss):
                done, total = epoch * batches + index + 1, self.schedule.epochs * batches
                raise self._lost(f"the loss is {loss.item()} in step {done} of {total} (epoch {epoch + 1})", epoch)
            (loss / len(group)).backward()  # type: ignore[no-untyped-call]
        if last:
            for each in self.optimizer.param_groups:
                each["lr"] = self.schedule.rate(progress)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return float(loss.item())

    def _progress(self, epoch: int, index: int) -> float:
        """The share of all steps that are done before the one that a batch belongs to."""
        steps = self.schedule.groups(self.course.steps)
        return (epoch * steps + index // self.schedule.accumulate) / (self.schedule.epochs * steps)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.precision == "bfloat16")

    def refuse_lost_weights(self, epoch: int) -> None:
        """Keep weights that the epoch's last step made infinite or NaN from becoming the last good checkpoint."""
        if not all(bool(each.isfinite().all()) for each in self.model.parameters()):
            raise self._lost(f"found a weight that is no number after epoch {epoch + 1}", epoch)

    def _lost(self, message: str, epochs: int) -> StageError:
        kept = f"; the weights after epoch {epochs} are kept in {self.course.checkpoint}" if epochs else ""
        return StageError(message, f"lower learning_rate or the losses' weights{kept}")


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, record: Record, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "qualities": record.qualities, "losses": record.losses}, partial)
    os.replace(partial, path)
