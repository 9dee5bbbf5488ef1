"""What every step that trains shares: options, batches, and one call that trains a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgekd import processes
from edgekd.artifact import Artifact, Kind
from edgekd.data.splits import TrainingRows
from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError
from edgekd.objectives.table import Losses
from edgekd.stages.base import Context
from edgekd.tasks.base import Rows, Task
from edgekd.toml_file import Frozen

if TYPE_CHECKING:
    from torch import Tensor

    from edgekd.algorithms.training import Record
    from edgekd.models.cached_outputs import CachedOutputs
    from edgekd.models.predicting import Predictor
    from edgekd.models.pupil import Lesson, Pupil

DEFAULT_LOSSES = [{"use": "z-scored-logits", "weight": 0.9}, {"use": "labels", "weight": 0.1}]


class TeachingConfig(Frozen):
    """How a student is taught."""

    epochs: Annotated[int, Field(ge=1, le=10_000)]  # passes over the training rows
    losses: Losses = Field(default=DEFAULT_LOSSES, validate_default=True)  # type: ignore[arg-type]  # what it learns by
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32  # rows that are averaged for a step
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1  # the highest: it rises, then falls
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4  # pulls weights towards 0
    optimizer: Literal["sgd", "adamw"] = "sgd"  # with momentum; adamw for transformers
    precision: Literal["float32", "bfloat16"] = "float32"  # of the arithmetic; weights stay float32
    accumulate: Annotated[int, Field(ge=1, le=4096)] = 1  # batches before a step
    freeze: tuple[str, ...] = ()  # parameters that stay as they are, by a part of their dotted names
    live: bool = False  # run the teacher beside the student instead of reading its cached outputs


class ViewsConfig(TeachingConfig):
    """The same, with the views of each training row, which stand in a table of the pipeline's own."""

    augment: AugmentConfig = AugmentConfig()


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is taught from: rows, and the teacher's outputs or the teacher itself, or labels alone."""

    task: Task
    rows: TrainingRows
    cached: CachedOutputs | None
    teacher: Predictor | None  # runs beside the student
    teacher_task: Task  # the same rows as the teacher reads them
    views: int = 1  # of each row, one for an epoch in turn

    def selection(self) -> Any:
        """The teacher's outputs for the rows that are kept for choosing."""
        if self.cached is not None:
            return self.cached.selection()
        if self.teacher is not None:
            return self.teacher.outputs(self.teacher_task, "train", self.rows.selection)
        return None

    def lesson(self, positions: Rows, view: int) -> Lesson:
        """One batch: this process's share of the inputs, the answers of all."""
        import torch

        from edgekd.models.pupil import Lesson
        from edgekd.models.running import tensors

        shares = [positions[rank :: processes.world()] for rank in range(processes.world())]
        whole, own = np.concatenate(shares), self.rows.fit[shares[processes.rank()]]
        labels = self.task.labels
        return Lesson(
            tensors(self.task.inputs("train", own, view)),
            None if self.cached is None else torch.from_numpy(self.cached.fit(view, whole)),
            None if labels is None else torch.from_numpy(labels[self.rows.fit[whole]]),
            () if self.teacher_task is self.task else tensors(self.teacher_task.inputs("train", own, view)),
        )


def teach(
    module: Any, inputs: Sequence[Artifact], config: ViewsConfig, context: Context, simulation: Any = None
) -> tuple[Record, tuple[str, ...]]:
    """Train ``module`` in place on what ``inputs`` hold: the teacher's outputs or the teacher, and tokenizers.

    ``simulation``, a torch module, has changed how ``module`` runs; its parameters are trained with it.

    Returns the record of the training, and the task's notes on the rows that were read for it.
    """
    from edgekd.algorithms import training
    from edgekd.models import pupil
    from edgekd.models.running import outputs_of

    learner, material = _learner(module, inputs, config, context, simulation)
    pupil.freeze(learner.student, config.freeze)
    task, kept, fit = material.task, material.rows.selection, material.rows.fit
    lengths, selection = task.lengths("train", fit), material.selection()

    def batches(epoch: int) -> Iterator[Lesson]:
        for positions in training.batch_rows(fit, config.batch_size, context.seed, epoch, lengths):
            yield material.lesson(positions, epoch % material.views)

    course = training.Course(
        batches,
        max(len(fit) // config.batch_size, 1),
        lambda: task.quality(outputs_of(learner.student, task, "train", kept), kept, selection),
        context.partial / "checkpoint.pt",
        context.progressed,
    )
    record = training.fit(learner, _schedule(config), course)
    learner.student.requires_grad_(True)  # frozen for this step alone
    return record, task.notes()


def losses_of(
    module: Any, inputs: Sequence[Artifact], config: ViewsConfig, context: Context, rows: int
) -> Iterator[Tensor]:
    """The losses of batches of the first training ``rows``, as at the start of the training that ``teach`` would do.

    Each is computed when it is asked for, from one run of ``module``, which doesn't change.
    """
    learner, material = _learner(module, inputs, config, context)
    positions = np.arange(min(rows, len(material.rows.fit)))
    size = min(config.batch_size, len(positions))
    for start in range(0, len(positions) - size + 1, size):
        yield learner(material.lesson(positions[start : start + size], 0), 0.0)


def _learner(
    module: Any, inputs: Sequence[Artifact], config: ViewsConfig, context: Context, simulation: Any = None
) -> tuple[Pupil, Material]:
    """The student with its losses, which fit what there is to learn from."""
    import torch

    from edgekd.models import loading, pupil

    torch.set_num_threads(context.threads)
    torch.manual_seed(context.seed)  # of the losses' own projections
    material = _material(inputs, config.augment, context)
    fit = material.rows.fit
    if min(len(fit), config.batch_size) % processes.world():
        raise BadInputError(
            f"found {len(fit)} training rows, less than one batch, and {processes.world()} processes to share it",
            "train so few rows with one process",
        )
    student = loading.channels_last(module)
    learner = pupil.Pupil(student.eval(), config.losses, getattr(material.teacher, "module", None), simulation)
    learner.prepare(material.lesson(np.arange(min(2 * processes.world(), len(fit))), 0))
    return learner, material


def material_of(inputs: Sequence[Artifact], context: Context) -> Material:
    """What a model would be taught from, as the rows are: for scoring it on those that are kept for choosing."""
    return _material(inputs, AugmentConfig(), context)


def _schedule(config: TeachingConfig) -> Any:
    from edgekd.algorithms.training import Schedule

    return Schedule(
        config.epochs,
        config.batch_size,
        config.learning_rate,
        config.weight_decay,
        optimizer=config.optimizer,
        precision=config.precision,
        accumulate=config.accumulate,
    )


def _material(inputs: Sequence[Artifact], augment: AugmentConfig, context: Context) -> Material:
    """Sort out ``inputs``: the first tokenizer is the student's, a second one the live teacher's.

    A live teacher sees the views that the student sees; of cached outputs the views are those that they were made for.
    """
    from edgekd.models.cached_outputs import CachedOutputs
    from edgekd.models.predicting import open_models

    tokenizers = [each for each in inputs if each.kind is Kind.TOKENIZER]
    stored = next((each for each in inputs if each.kind is Kind.OUTPUTS), None)
    models = [each for each in inputs if each.kind not in (Kind.TOKENIZER, Kind.OUTPUTS)]
    cached = None
    if stored is not None:
        cached, augment = CachedOutputs.open(stored.path, stored.facts), AugmentConfig(**stored.facts["augment"])
    task = context.task(tokenizers).augmented(augment)
    teacher = open_models(models, (), context.threads) if models else None
    other = context.task(tokenizers[1:]).augmented(augment) if len(tokenizers) > 1 else task
    return Material(task, task.rows(context.seed), cached, teacher, other, augment.views)
