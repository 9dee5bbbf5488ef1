from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tiny
import tinynet
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.algorithms.training import Course, Record, Schedule, batch_rows, fit
from edgekd.errors import StageError
from edgekd.tasks.image_classification import prepare

SPLIT = tiny.bars(60, 9)
INPUTS, LABELS = torch.from_numpy(prepare(SPLIT.images)), torch.from_numpy(SPLIT.labels)
ROWS = np.arange(60)


class Stopped(BaseException):
    """As if the process had been killed."""


@dataclass(frozen=True)
class Bars:
    """Images and their labels."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class Pupil(nn.Module):
    """A model that turns a batch into its loss."""

    def __init__(self, student: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.student, self.factor = student, factor

    def forward(self, batch: Bars, progress: float) -> Tensor:
        assert 0 <= progress < 1
        return functional.cross_entropy(self.student(batch.inputs), batch.labels) * self.factor


class Lessons:
    """Batches of the tiny bars; notes the epochs that were taught, and can end one in its middle."""

    def __init__(self, stop_in: int | None = None) -> None:
        self.stop_in = stop_in
        self.taught: list[int] = []
        self.said: list[tuple[int, int, str]] = []

    def __call__(self, epoch: int) -> Iterator[Bars]:
        self.taught.append(epoch)
        for number, positions in enumerate(batch_rows(ROWS, 20, 4, epoch)):
            if epoch == self.stop_in and number == 1:
                raise Stopped
            rows = torch.from_numpy(positions)
            yield Bars(INPUTS[rows], LABELS[rows])

    def train(self, student: nn.Module, schedule: Schedule, folder: Path, factor: float = 1.0) -> Record:
        def say(done: int, total: int, text: str) -> None:
            self.said.append((done, total, text))

        course = Course(self, 3, lambda: right(student), folder / "partial" / "checkpoint.pt", say)
        return fit(Pupil(student, factor), schedule, course)


def right(model: nn.Module) -> float:
    with torch.no_grad():
        return float((model(INPUTS).argmax(1) == LABELS).double().mean())


def model() -> nn.Module:
    torch.manual_seed(0)
    return tinynet.student()


def schedule(epochs: int = 4, learning_rate: float = 0.1) -> Schedule:
    return Schedule(epochs, 20, learning_rate, 5e-4)


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_training_is_deterministic_and_learns(tmp_path: Path) -> None:
    first, second = model(), model()
    record = Lessons().train(first, schedule(25), tmp_path / "a")
    assert Lessons().train(second, schedule(25), tmp_path / "b") == record
    assert same(first, second)
    assert not same(first, model())
    assert len(record.qualities) == 25
    assert record.qualities[-1] > 0.9


@pytest.mark.parametrize("stop_in", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_weights(stop_in: int, tmp_path: Path) -> None:
    whole, stopped, resumed = model(), model(), tinynet.student()
    qualities = Lessons().train(whole, schedule(), tmp_path / "whole")
    with pytest.raises(Stopped):
        Lessons(stop_in).train(stopped, schedule(), tmp_path / "cut")
    lessons = Lessons()
    assert lessons.train(resumed, schedule(), tmp_path / "cut") == qualities
    assert lessons.taught == list(range(stop_in, 4))
    assert same(resumed, whole)


def test_a_checkpoint_is_put_in_place_whole(tmp_path: Path) -> None:
    Lessons().train(model(), schedule(1), tmp_path)
    assert [path.name for path in (tmp_path / "partial").iterdir()] == ["checkpoint.pt"]


def test_a_half_written_checkpoint_is_not_taken_up(tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "checkpoint.partial").write_bytes(b"half")
    lessons = Lessons()
    lessons.train(model(), schedule(1), tmp_path)
    assert lessons.taught == [0]


def test_a_loss_that_is_no_number_fails_the_stage(tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        Lessons().train(model(), schedule(), tmp_path, factor=float("nan"))
    assert caught.value.message == "the loss is nan in step 1 of 12 (epoch 1)"
    assert caught.value.hint.startswith("lower learning_rate")


def test_weights_that_are_no_numbers_never_become_the_last_good_checkpoint(tmp_path: Path) -> None:
    path, whole = tmp_path / "checkpoint.pt", [Bars(INPUTS, LABELS)]
    course = Course(lambda _: iter(whole), 1, lambda: 0.5, path, lambda *_: None)
    with pytest.raises(StageError) as caught:
        fit(Pupil(model()), schedule(learning_rate=1e40), course)  # the first step of the warm-up has a rate of 0
    assert caught.value.message == "found a weight that is no number after epoch 2"
    assert caught.value.hint.endswith(f"; the weights after epoch 1 are kept in {path}")
    assert all(bool(each.isfinite().all()) for each in torch.load(path, weights_only=True)["model"].values())


def test_progress_tells_epoch_loss_and_rate(tmp_path: Path) -> None:
    lessons = Lessons()
    lessons.train(model(), schedule(2), tmp_path)
    assert [(done, total) for done, total, _ in lessons.said] == [(step, 6) for step in range(1, 7)]
    assert lessons.said[-1][2].startswith("epoch 2/2 loss ")
    assert lessons.said[-1][2].endswith("/s")


def test_the_rate_warms_up_and_decays_to_nothing() -> None:
    rate = schedule(learning_rate=0.2).rate
    assert (rate(0.0), rate(0.075), rate(0.15)) == (0.0, pytest.approx(0.1), 0.2)
    assert rate(0.575) == pytest.approx(0.1)
    assert rate(1.0) == pytest.approx(0.0)


def test_batches_are_whole_and_shuffled_anew_each_epoch() -> None:
    first, second = ([batch.tolist() for batch in batch_rows(ROWS, 25, 1, epoch)] for epoch in (0, 1))
    assert [len(batch) for batch in first] == [25, 25]
    assert len({row for batch in first for row in batch}) == 50
    assert first != second
    assert [len(batch) for batch in batch_rows(ROWS, 100, 1, 0)] == [60]
