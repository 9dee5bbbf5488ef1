"""Throughput: texts per second of distilling a three-layer student of all-MiniLM-L6-v2, by three loops.

``cached`` is edgekd's own loop on cached outputs, ``live`` the same with the teacher beside the student, and
``trainer`` the loop of transformers' Trainer. All take the same batches in the same order (64 texts of about one
length, as edgekd makes them), start from the same student, freeze the same layers, compute the same loss by the same
code, and step with fused AdamW on a cosine schedule, in float32, without clipping or logging. The Trainer is handed
whole batches by the code that hands them to edgekd, which spares it the padding of single texts that a user's collator
would do. It keeps its own groups of weights, callbacks and accelerate. The three take turns after a short run each
that counts for nothing; a run is timed from its first batch to its last step, so that no start, checkpoint or scoring
is in it.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from distilling.row import Row, at_least
from edgekd import pipeline
from edgekd.algorithms import training
from edgekd.algorithms.losses.signals import Signals, Sizes
from edgekd.algorithms.losses.terms import Terms
from edgekd.data.splits import TrainingRows
from edgekd.models import cached_outputs, encoder_source, pupil, smaller
from edgekd.models.pupil import Lesson, Pupil
from edgekd.models.running import outputs_of
from edgekd.stages.teaching import Material
from edgekd.tasks import TaskData
from edgekd.tasks.base import Task
from edgekd.teachers import FirstLayers

NAME = "minilm-search"
BATCHES = 50  # one bucket: edgekd sorts so many batches by length together
ROUNDS = 4
WARM_BATCHES = 3

Batches = Sequence[npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one run: by the clock, and of the processor, which other programs don't lengthen."""

    wall: float
    processor: float


class Clock:
    """What the time was when it was asked."""

    def __init__(self) -> None:
        self._walls: list[float] = []
        self._processors: list[float] = []

    def now(self) -> None:
        """Note the time."""
        self._walls.append(time.perf_counter())
        self._processors.append(time.process_time())

    @property
    def took(self) -> Took:
        """From the first time to the last."""
        return Took(self._walls[-1] - self._walls[0], self._processors[-1] - self._processors[0])


@dataclass(frozen=True)
class Setting:
    """What all three loops are given."""

    task: Task
    teacher: nn.Module
    student: nn.Module
    cached: cached_outputs.CachedOutputs
    config: Any  # of the pipeline's distill step
    rows: npt.NDArray[np.int64]
    batches: Batches

    @property
    def texts(self) -> int:
        """How many texts a run sees."""
        return sum(map(len, self.batches))

    def learner(self, *, live: bool = False) -> Pupil:
        """A fresh student with its losses."""
        made = Pupil(copy.deepcopy(self.student), self.config.losses, self.teacher if live else None)
        pupil.freeze(made.student, self.config.freeze)
        made.prepare(self.lesson(np.arange(2), live=live))
        return made

    def lesson(self, positions: npt.NDArray[np.int64], *, live: bool = False) -> Lesson:
        """A batch, as the step ``distill`` makes it."""
        fitted = TrainingRows(self.rows, self.rows[:0])
        material = Material(self.task, fitted, None if live else self.cached, None, self.task)
        return material.lesson(positions, 0)


def rows(batches: int = BATCHES, rounds: int = ROUNDS) -> list[Row]:
    """Both ratios: the medians over the rounds."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        setting = prepared(batches, Path(folder))
        runs: dict[str, list[Took]] = {name: [] for name in LOOPS}
        for loop in LOOPS.values():  # the first run of each is slower, and counts for nothing
            loop(replace(setting, batches=setting.batches[:WARM_BATCHES]), Path(folder))
        for number in range(rounds):
            for name in sorted(LOOPS, reverse=bool(number % 2)):  # none always comes first
                runs[name].append(LOOPS[name](setting, Path(folder)))
    for name, found in runs.items():
        shown = ", ".join(f"{setting.texts / run.wall:.0f}" for run in found)
        print(f"texts/s of {name}: {shown} (one thread, {setting.texts:,} texts a run)", flush=True)
    return [
        ratio("throughput: cached / live teacher", runs["cached"], runs["live"], 1.5),
        ratio("throughput: cached / transformers Trainer", runs["cached"], runs["trainer"], 1.0),
    ]


def ratio(name: str, ours: Sequence[Took], theirs: Sequence[Took], target: float) -> Row:
    """How many times as fast: the median over the rounds by the clock, and by the processor's time."""
    pairs = list(zip(ours, theirs, strict=True))
    walls = [other.wall / one.wall for one, other in pairs]
    processor = statistics.median(other.processor / one.processor for one, other in pairs)
    more = f" ({min(walls):.2f}..{max(walls):.2f}; processor time {processor:.2f})"
    return at_least(name, statistics.median(walls), target, more)


def prepared(batches: int, folder: Path) -> Setting:
    """The pipeline's teacher, student and loss, and the outputs for as many texts as ``batches`` take."""
    chosen = pipeline.load(NAME)
    config, source = chosen.step("distill"), chosen.folder(str(chosen.all_teachers[0].encoder))
    teacher, spec, tokenizer = encoder_source.from_folder(source)
    wanted = chosen.student
    if wanted is None or config is None:
        raise RuntimeError(f"{NAME} has no student to distil")
    layers = wanted.layers.model_dump() if isinstance(wanted.layers, FirstLayers) else wanted.layers
    student, _ = smaller.smaller(teacher, spec, smaller.Sizes(layers=layers))
    reader = tokenizer.limited(chosen.data.max_length).save(folder / "tokenizer.json")
    task = TaskData(chosen.task, chosen.data).open(reader, folder)
    drawn = np.random.default_rng(chosen.seed).permutation(task.count("train"))[: batches * config.batch_size]
    path = folder / "outputs.npy"
    np.save(path, cached_outputs.Layout().pack(outputs_of(teacher, task, "train", drawn)))
    cached = cached_outputs.CachedOutputs(np.load(path, mmap_mode="r"), teacher_width(path), 1, len(drawn))
    lengths = task.lengths("train", drawn)
    order = tuple(training.batch_rows(drawn, config.batch_size, chosen.seed, 0, lengths))
    return Setting(task, teacher, student, cached, config, drawn, order)


def teacher_width(path: Path) -> int:
    return int(np.load(path, mmap_mode="r").shape[1])


def own(setting: Setting, folder: Path, *, live: bool = False) -> Took:
    """Time edgekd's own loop."""
    clock = Clock()

    def batches(_epoch: int) -> Iterator[Lesson]:
        clock.now()
        for positions in setting.batches:
            yield setting.lesson(positions, live=live)
        clock.now()

    config = setting.config
    schedule = training.Schedule(1, config.batch_size, config.learning_rate, config.weight_decay, optimizer="adamw")
    saved = folder / "checkpoint.pt"
    course = training.Course(batches, len(setting.batches), lambda: 0.0, saved, lambda *_: None)
    training.fit(setting.learner(live=live).eval(), schedule, course)
    saved.unlink()
    return clock.took


def plain(setting: Setting, folder: Path) -> Took:
    """Time transformers' Trainer."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    clock = Clock()
    student = setting.learner().student
    lesson = setting.lesson(np.arange(2))
    terms = Terms(setting.config.losses, Sizes.of(Signals(student(*lesson.inputs), lesson.teacher)))

    class Timing(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            clock.now()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            clock.now()

    class Distilling(Trainer):
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(WholeBatches(setting), batch_size=None)

        def compute_loss(self, model: nn.Module, inputs: Any, *_: Any, **__: Any) -> Any:
            outputs = model(inputs["input_ids"], inputs["attention_mask"])
            return terms(Signals(outputs, inputs["teacher"], mask=inputs["attention_mask"]), 0.0)[0]

    config = setting.config
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=1,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        optim="adamw_torch_fused",
        lr_scheduler_type="cosine",
        max_grad_norm=0.0,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Distilling(student, arguments, train_dataset=WholeBatches(setting), callbacks=[Timing()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.took


class WholeBatches(torch.utils.data.Dataset[dict[str, Any]]):
    """Each item is a batch, made when it is asked for."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def __len__(self) -> int:
        return len(self.setting.batches)

    def __getitem__(self, number: int) -> dict[str, Any]:
        lesson = self.setting.lesson(self.setting.batches[number])
        names = ("input_ids", "attention_mask")
        return {**dict(zip(names, lesson.inputs, strict=True)), "teacher": lesson.teacher}


LOOPS: dict[str, Callable[[Setting, Path], Took]] = {
    "cached": own,
    "live": lambda setting, folder: own(setting, folder, live=True),
    "trainer": plain,
}
