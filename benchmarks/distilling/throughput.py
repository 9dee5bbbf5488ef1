"""Throughput: texts per second of distilling a three-layer student of all-MiniLM-L6-v2, by three loops.

``cached`` is edgekd's own loop on cached outputs, ``live`` the same with the teacher beside the student, and
``trainer`` the loop of transformers' Trainer. All take the same batches in the same order (64 texts of about one
length, as edgekd makes them), start from the same student, freeze the same layers, compute the same loss by the same
code, and step with fused AdamW on a cosine schedule, in float32, without clipping or logging. The Trainer reads single
texts, tokenized before, and pads them with torch's pad_sequence; it keeps its own groups of weights, callbacks and use
of accelerate.

The three take step after step in turn, in one process with one thread for each operator. A step is timed from asking
for its batch to asking for the next one, so that no start, checkpoint or scoring is in it. The intervals are of the
steps, which are paired: each batch is seen by all three.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from distilling.row import Row, at_least
from distilling.turns import Seconds, race
from edgekd import pipeline
from edgekd.algorithms import training
from edgekd.algorithms.bootstrap import mean, ratio_interval
from edgekd.algorithms.losses.signals import Signals, Sizes
from edgekd.algorithms.losses.terms import Terms
from edgekd.data.splits import TrainingRows
from edgekd.models import cached_outputs, encoder_source, pupil, smaller
from edgekd.models.pupil import Lesson, Pupil
from edgekd.models.running import outputs_of
from edgekd.stages.teaching import Material
from edgekd.tasks import TaskData
from edgekd.tasks.base import Task
from edgekd.teachers import FirstLayers, StudentConfig

NAME = "minilm-search"
BATCHES = 100  # two buckets, in which edgekd sorts texts by length
WARM = 3  # steps that count for nothing; nor does the last, which ends with a checkpoint

Batches = Sequence[npt.NDArray[np.int64]]


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


def rows(batches: int = BATCHES) -> list[Row]:
    """Both ratios, over all batches but the first few."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        setting = prepared(batches, Path(folder))
        loops = {name: partial(loop, setting, Path(folder)) for name, loop in LOOPS.items()}
        seconds = {name: found[1 + WARM : -1] for name, found in race(loops).items()}
    for name, found in seconds.items():
        speed = setting.config.batch_size / found.mean()
        print(f"texts/s of {name}: {speed:.0f} (one thread, {len(found)} batches)", flush=True)
    return [
        ratio("throughput: cached / live teacher", seconds["cached"], seconds["live"], 1.5),
        ratio("throughput: cached / transformers Trainer", seconds["cached"], seconds["trainer"], 1.0),
    ]


def ratio(name: str, ours: Seconds, theirs: Seconds, target: float) -> Row:
    """How many times as fast, with the 95 % interval."""
    found = ratio_interval(mean, theirs, ours)
    return at_least(name, found.point, target, f" ({found.lower:.3f}..{found.upper:.3f})")


def prepared(batches: int, folder: Path) -> Setting:
    """The pipeline's teacher, student and loss, and the outputs for as many texts as ``batches`` take."""
    chosen = pipeline.load(NAME)
    config, source = chosen.step("distill"), chosen.folder(str(chosen.all_teachers[0].encoder))
    teacher, spec, tokenizer = encoder_source.from_folder(source)
    wanted = chosen.student
    if wanted is None or config is None:
        raise RuntimeError(f"{NAME} has no student to distil")
    student, _ = smaller.smaller(teacher, spec, sizes(wanted))
    reader = tokenizer.limited(chosen.data.max_length).save(folder / "tokenizer.json")
    task = TaskData(chosen.task, chosen.data).open(reader, folder)
    drawn = np.random.default_rng(chosen.seed).permutation(task.count("train"))[: batches * config.batch_size]
    path = folder / "outputs.npy"
    np.save(path, cached_outputs.Layout().pack(outputs_of(teacher, task, "train", drawn)))
    cached = cached_outputs.CachedOutputs(np.load(path, mmap_mode="r"), teacher_width(path), 1, len(drawn))
    lengths = task.lengths("train", drawn)
    order = tuple(training.batch_rows(drawn, config.batch_size, chosen.seed, 0, lengths))
    return Setting(task, teacher, student, cached, config, drawn, order)


def sizes(wanted: StudentConfig) -> smaller.Sizes:
    """All that a [student] table cuts; a narrower output and a vocabulary need data, and other loops than these."""
    if wanted.output_width is not None or wanted.vocabulary != "whole":
        raise RuntimeError(f"{NAME}: found [student] output_width or vocabulary, which this benchmark doesn't know")
    layers = wanted.layers.model_dump() if isinstance(wanted.layers, FirstLayers) else wanted.layers
    return smaller.Sizes(layers, wanted.hidden, wanted.feed_forward, wanted.heads)


def teacher_width(path: Path) -> int:
    return int(np.load(path, mmap_mode="r").shape[1])


def own(setting: Setting, folder: Path, turn: Callable[[], None], *, live: bool = False) -> None:
    """Run edgekd's own loop."""
    torch.set_num_threads(1)

    def batches(_epoch: int) -> Iterator[Lesson]:
        for positions in setting.batches:
            turn()
            yield setting.lesson(positions, live=live)

    config = setting.config
    schedule = training.Schedule(1, config.batch_size, config.learning_rate, config.weight_decay, optimizer="adamw")
    saved = folder / f"checkpoint-{live}.pt"
    course = training.Course(batches, len(setting.batches), lambda: 0.0, saved, lambda *_: None)
    training.fit(setting.learner(live=live).eval(), schedule, course)


def plain(setting: Setting, folder: Path, turn: Callable[[], None]) -> None:
    """Run transformers' Trainer."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    torch.set_num_threads(1)
    student = setting.learner().student
    lesson = setting.lesson(np.arange(2))
    terms = Terms(setting.config.losses, Sizes.of(Signals(student(*lesson.inputs), lesson.teacher)))
    texts = SingleTexts(setting)

    class Distilling(Trainer):
        def get_train_dataloader(self) -> Any:
            return DataLoader(texts, batch_sampler=InTurn(setting.batches, turn), collate_fn=padded)

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
    trainer = Distilling(student, arguments, train_dataset=texts)
    trainer.remove_callback(PrinterCallback)
    trainer.train()


class SingleTexts(Dataset[dict[str, Tensor]]):
    """Token ids of each text, made before, and the teacher's cached vector."""

    def __init__(self, setting: Setting) -> None:
        self._cached = setting.cached
        parts = (setting.task.inputs("train", setting.rows[place : place + 1]) for place in range(len(setting.rows)))
        self._ids = [torch.from_numpy(part["input_ids"][0]) for part in parts]

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        vector = torch.from_numpy(self._cached.fit(0, np.array([place]))[0])
        return {"input_ids": self._ids[place], "teacher": vector}


def padded(texts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Texts as one batch; 0 is the padding token of this tokenizer."""
    ids = [text["input_ids"] for text in texts]
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
        "teacher": torch.stack([text["teacher"] for text in texts]),
    }


class InTurn(Sampler[list[int]]):
    """The batches' rows, each when its turn has come."""

    def __init__(self, batches: Batches, turn: Callable[[], None]) -> None:
        self._batches, self._turn = batches, turn

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        for positions in self._batches:
            self._turn()
            yield positions.tolist()


LOOPS: Mapping[str, Callable[[Setting, Path, Callable[[], None]], None]] = {
    "cached": own,
    "live": partial(own, live=True),
    "trainer": plain,
}
