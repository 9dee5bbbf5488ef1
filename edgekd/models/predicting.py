"""Run any model on a task's rows: a torch module, a model file, a Keras file, or a table of outputs made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgekd.algorithms import softmax
from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError, StageError
from edgekd.tasks.base import Arrays, Outputs, Rows, Split, Task

BATCH = 64
SOFTMAX = "ends_with_softmax"  # the fact of a foreign file that gives probabilities


class Predictor(Protocol):
    """Something that gives outputs for rows."""

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
        """Outputs (rows, width), in the order of ``rows``."""

    def covers(self, task: Task, split: Split) -> bool:
        """Whether it has outputs for every row of a split."""


class _Runs:
    """A model that is run, and so has outputs for whatever it is given."""

    def covers(self, task: Task, split: Split) -> bool:
        """It has."""
        del task, split
        return True


@dataclass(frozen=True)
class TorchModel(_Runs):
    """A torch module."""

    module: Any

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
        """Run it in batches."""
        from edgekd.models.running import outputs_of

        return outputs_of(self.module, task, split, rows, view)


@dataclass(frozen=True)
class FileModel(_Runs):
    """A model file in its runtime (or Keras): anything with ``run(batches)``; a softmax at its end is undone."""

    runner: Any
    ends_with_softmax: bool = False

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
        """Run it on batches, which the runner takes apart where the file takes one row at a time."""
        found = np.asarray(self.runner.run(_batches(task, split, rows, view)))
        return softmax.logits(found, softmax.LEAST_COMPUTED) if self.ends_with_softmax else found


@dataclass(frozen=True)
class Reader:
    """One of several models, which reads the task's texts by a tokenizer of its own."""

    model: Predictor
    tokenizer: Path | None = None  # None: it reads the task as it is

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
        """Outputs of the model for what it reads."""
        own = task if self.tokenizer is None else task.read_by(self.tokenizer)
        return self.model.outputs(own, split, rows, view)

    def covers(self, task: Task, split: Split) -> bool:
        """Whether the model does."""
        return self.model.covers(task, split)


@dataclass(frozen=True)
class Ensemble:
    """Several teachers: logits are averaged by weight, vectors laid side by side.

    The cosine of two vectors made of unit vectors scaled by sqrt(weight) is the weighted mean of the teachers' cosines.
    """

    members: Sequence[Predictor]
    weights: Sequence[float]

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
        """Outputs of all members, combined."""
        shares = np.asarray(self.weights, np.float64) / sum(self.weights)
        each = [member.outputs(task, split, rows, view) for member in self.members]
        if task.outputs is Outputs.LOGITS:
            return np.asarray(sum(share * made for share, made in zip(shares, each, strict=True)), np.float32)
        unit = (made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12) for made in each)
        scaled = [np.sqrt(share) * made for share, made in zip(shares, unit, strict=True)]
        return np.concatenate(scaled, axis=1).astype(np.float32)

    def covers(self, task: Task, split: Split) -> bool:
        """Whether all members do."""
        return all(member.covers(task, split) for member in self.members)


def open_models(artifacts: Sequence[Artifact], weights: Sequence[float], threads: int) -> Predictor:
    """Open the models among ``artifacts``; several are an ensemble, each with the next tokenizer after it."""
    models = [(place, each) for place, each in enumerate(artifacts) if each.kind is not Kind.TOKENIZER]
    if len(models) == 1:
        return open_model(models[0][1], threads)
    members = [Reader(open_model(each, threads), _tokenizer(artifacts[place:])) for place, each in models]
    return Ensemble(members, weights or [1.0] * len(members))


def _tokenizer(artifacts: Sequence[Artifact]) -> Path | None:
    return next((each.path for each in artifacts if each.kind is Kind.TOKENIZER), None)


def open_model(artifact: Artifact, threads: int) -> Predictor:
    """Open one model by the kind of its artifact."""
    if artifact.kind is Kind.TORCH:
        return _torch(artifact.path, threads)
    if artifact.kind is Kind.TABLE:
        from edgekd.models.outputs_table import OutputsTable

        return OutputsTable.open(artifact.path)
    if artifact.kind is Kind.KERAS:
        from edgekd.models.keras_file import KerasRunner

        return FileModel(KerasRunner(artifact.path, threads), _ends_with_softmax(artifact))
    from edgekd.runtimes import BY_KIND

    return FileModel(BY_KIND[artifact.kind].Runner(artifact.path, threads), _ends_with_softmax(artifact))


def _ends_with_softmax(artifact: Artifact) -> bool:
    return bool(artifact.facts.get(SOFTMAX))


def _torch(path: Path, threads: int) -> TorchModel:
    import torch

    from edgekd.models import loading

    torch.set_num_threads(threads)
    return TorchModel(loading.channels_last(loading.load(path)[0]))


def _batches(task: Task, split: Split, rows: Rows, view: int) -> Iterator[Arrays]:
    for start in range(0, len(rows), BATCH):
        yield task.inputs(split, rows[start : start + BATCH], view)


def check_outputs(model: Predictor, task: Task, noun: str) -> None:
    """Run the first training row through ``model``.

    Raises:
        BadInputError: the model can't take the row, or its output isn't one logit a class, or one vector.

    """
    first = np.zeros(1, np.int64)
    try:
        shape = model.outputs(task, "train", first).shape
    except (RuntimeError, TypeError, ValueError, IndexError, StageError) as error:
        shapes = " and ".join(str(values.shape) for values in task.inputs("train", first).values())
        raise BadInputError(f"the {noun} can't take an input of shape {shapes}: {error}") from error
    if task.outputs is Outputs.LOGITS and shape != (1, len(task.classes)):
        raise BadInputError(
            f"the {noun} gives outputs of shape {shape} for one {task.row}, "
            f"expected (1, {len(task.classes)}): data set {task.title!r} has {len(task.classes)} classes",
            f"use a {noun} that was trained on these classes",
        )
    if len(shape) != 2 or shape[0] != 1:
        raise BadInputError(f"the {noun} gives outputs of shape {shape} for one {task.row}, expected (1, width)")
