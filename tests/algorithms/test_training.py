from collections.abc import Iterator
from dataclasses import dataclass, replace
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

    def __init__(self, stop_in: int | None = None, size: int = 20) -> None:
        self.stop_in, self.size = stop_in, size
        self.taught: list[int] = []
        self.said: list[tuple[int, int, str]] = []

    def __call__(self, epoch: int) -> Iterator[Bars]:
        self.taught.append(epoch)
        for number, positions in enumerate(batch_rows(ROWS, self.size, 4, epoch)):
            if epoch == self.stop_in and number == 1:
                raise Stopped
            rows = torch.from_numpy(positions)
            yield Bars(INPUTS[rows], LABELS[rows])

    def train(self, student: nn.Module, schedule: Schedule, folder: Path, factor: float = 1.0) -> Record:
        def say(done: int, total: int, text: str) -> None:
            self.said.append((done, total, text))

        course = Course(self, len(ROWS) // self.size, lambda: right(student), folder / "partial" / "checkpoint.pt", say)
        return fit(Pupil(student, factor), schedule, course)


def right(model: nn.Module) -> float:
    with torch.no_grad():
        return float((model(INPUTS).argmax(1) == LABELS).double().mean())


def model() -> nn.Module:
    torch.manual_seed(0)
    return tinynet.student()


def schedule(epochs: int = 4, learning_rate: float = 0.1) -> Schedule:
    return Schedule(epochs, 20, learning_rate, 5e-4)


def accumulating(batches: int, epochs: int = 2) -> Schedule:
    return replace(schedule(epochs), batch_size=5, accumulate=batches)


def plain() -> nn.Module:
    """A model without batch normalisation, so that a batch is no more than its items."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * tiny.SIZE**2, 8), nn.ReLU(), nn.Linear(8, 3))


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
        fit(Pupil(model()), schedule(8, learning_rate=1e40), course)  # the first step of the warm-up has a rate of 0
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


def close(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.allclose(one, other, atol=1e-6) for one, other in pairs)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradients_of_several_batches_give_the_weights_of_one_large_batch(optimizer: str, tmp_path: Path) -> None:
    small, large, neither = plain(), plain(), plain()
    common = replace(schedule(3, 0.01), optimizer=optimizer)  # type: ignore[arg-type]
    Lessons(size=5).train(small, replace(common, batch_size=5, accumulate=4), tmp_path / "small")
    Lessons(size=20).train(large, common, tmp_path / "large")
    Lessons(size=5).train(neither, replace(common, batch_size=5), tmp_path / "neither")
    assert close(small, large)
    assert not close(small, plain())
    assert not close(neither, large)


def test_the_last_group_of_an_epoch_weighs_its_batches_by_their_own_number(tmp_path: Path) -> None:
    """12 batches by 8: the second step's gradient is the mean of 4 batches, like one of 20 rows."""
    grouped, by_hand = plain(), plain()
    one = replace(accumulating(8, epochs=1), warmup=0.0, weight_decay=0.0, momentum=0.5)
    Lessons(size=5).train(grouped, one, tmp_path)
    rows = np.concatenate(list(batch_rows(ROWS, 5, 4, 0)))
    optimizer = torch.optim.SGD(by_hand.parameters(), momentum=0.5, nesterov=True)
    for step, chosen in enumerate((rows[:40], rows[40:])):
        optimizer.param_groups[0]["lr"] = one.rate(step / 2)
        optimizer.zero_grad()
        functional.cross_entropy(by_hand(INPUTS[chosen]), LABELS[chosen]).backward()
        optimizer.step()
    assert close(grouped, by_hand)


@pytest.mark.parametrize("stop_in", [1, 2, 3])
def test_a_killed_training_that_accumulates_goes_on_to_the_same_weights(stop_in: int, tmp_path: Path) -> None:
    whole, stopped, resumed = model(), model(), tinynet.student()
    record = Lessons(size=5).train(
        whole, accumulating(5, epochs=4), tmp_path / "whole"
    )  # 12 batches: groups of 5, 5, 2
    with pytest.raises(Stopped):
        Lessons(stop_in, size=5).train(stopped, accumulating(5, epochs=4), tmp_path / "cut")
    assert Lessons(size=5).train(resumed, accumulating(5, epochs=4), tmp_path / "cut") == record
    assert same(resumed, whole)


@pytest.mark.parametrize("epochs", [1, 2])
def test_fewer_batches_than_are_accumulated_still_train(epochs: int, tmp_path: Path) -> None:
    taught = plain()
    Lessons(size=5).train(taught, accumulating(100, epochs), tmp_path)
    assert not close(taught, plain())


def test_the_rate_and_the_losses_schedules_follow_the_steps_taken(tmp_path: Path) -> None:
    seen: list[float] = []

    class Noting(Pupil):
        def forward(self, batch: Bars, progress: float) -> Tensor:
            seen.append(progress)
            return super().forward(batch, progress)

    course = Course(Lessons(size=5), 12, lambda: 0.5, tmp_path / "checkpoint.pt", lambda *_: None)
    fit(Noting(plain()), accumulating(5), course)
    assert seen == [step / 6 for step in range(6) for _ in range((5, 5, 2)[step % 3])]


def kinds(student: nn.Module) -> set[tuple[bool, torch.dtype]]:
    """Of what the first layer of ``student`` gives from now on: whether it was in training, and the type."""
    found: set[tuple[bool, torch.dtype]] = set()
    first = next(each for each in student.modules() if isinstance(each, nn.Conv2d))
    first.register_forward_hook(lambda module, _inputs, output: found.add((module.training, output.dtype)))
    return found


def test_each_training_of_a_process_has_the_precision_that_it_asks_for(tmp_path: Path) -> None:
    students = {name: model() for name in ("short", "whole", "short again")}
    seen = {name: kinds(student) for name, student in students.items()}
    for name, student in students.items():
        precision = "float32" if name == "whole" else "bfloat16"
        Lessons().train(student, replace(schedule(), precision=precision), tmp_path / name)  # type: ignore[arg-type]
    assert seen["short"] == seen["short again"] == {(True, torch.bfloat16), (False, torch.float32)}
    assert seen["whole"] == {(True, torch.float32), (False, torch.float32)}
    assert same(students["short"], students["short again"])
    assert not same(students["short"], students["whole"])
    assert all(each.dtype == torch.float32 for each in students["short"].parameters())
