"""What is left of a build: by earlier runs and by the running step's own count, on a clock that never jumps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from workshop import Built

import edgekd
from edgekd import executor
from edgekd.ahead import Ahead
from edgekd.progress import Quiet
from edgekd.store import Store


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_steps_of_known_length_add_up_and_the_others_are_counted() -> None:
    ahead = Ahead({"teacher": 2.0, "student": 60.0, "onnx": None, "profile": None}, Clock())
    assert ahead.text() == "step 1 of 4, about 62 s left and 2 steps of unknown length"
    ahead.finished("teacher")
    ahead.started("student")
    assert ahead.text() == "step 2 of 4, about 60 s left and 2 steps of unknown length"
    for name in ("student", "onnx", "profile"):
        ahead.finished(name)
    assert ahead.text() == "step 4 of 4, nearly done"


def test_a_step_that_counts_tells_of_itself() -> None:
    clock = Clock()
    ahead = Ahead({"student": None, "onnx": None}, clock)
    ahead.started("student")
    assert ahead.share is None
    ahead.progressed(0, 100)
    clock.now += 10
    ahead.progressed(20, 100)
    assert ahead.share == 0.2
    assert ahead.text() == "step 1 of 2, about 40 s left and 1 step of unknown length"


def test_a_count_that_goes_on_from_a_checkpoint_is_not_taken_for_speed() -> None:
    clock = Clock()
    ahead = Ahead({"student": None}, clock)
    ahead.started("student")
    clock.now += 3  # reading the checkpoint
    ahead.progressed(50, 100)
    clock.now += 10
    ahead.progressed(60, 100)
    assert ahead.text() == "step 1 of 1, about 40 s left"


def test_a_step_of_several_rounds_is_no_shorter_than_earlier_runs_say() -> None:
    clock = Clock()
    ahead = Ahead({"prune": 300.0}, clock)
    ahead.started("prune")
    ahead.progressed(1, 10)
    clock.now += 50
    ahead.progressed(10, 10)
    ahead.progressed(1, 10)  # the next rival
    clock.now += 5
    ahead.progressed(2, 10)
    assert ahead.text() == "step 1 of 1, about 4 min left"


def test_a_step_without_a_count_moves_by_earlier_runs_and_never_seems_done() -> None:
    clock = Clock()
    ahead = Ahead({"profile": 8.0}, clock)
    ahead.started("profile")
    clock.now += 2
    assert ahead.share == 0.25
    assert ahead.text() == "step 1 of 1, about 6 s left"
    clock.now += 60
    assert ahead.share == 0.99
    assert ahead.text() == "step 1 of 1, about 0 s left"


def test_a_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((1.7e9, 1.0, 9e9, 0.0))
    monkeypatch.setattr(time, "time", lambda: next(times, -1e9))
    ahead = Ahead({"profile": 3600.0})
    ahead.started("profile")
    ahead.progressed(0, 10)
    assert ahead.text() == "step 1 of 1, about 60 min left"


def test_a_clock_that_jumps_leaves_the_steps_durations_as_they_are(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(built.workshop.folder)
    times = iter((9e9, 1.0, 4e9))
    monkeypatch.setattr(time, "time", lambda: next(times, -1e9))
    plan = edgekd.plan("tiny.toml", "pixel8", output=built.output, quick=True)
    began = time.monotonic()
    taken = executor.run(plan, Store(built.output / ".store"), Quiet())
    whole = time.monotonic() - began
    assert all(0 <= step.seconds <= whole for step in taken)
    assert sum(step.seconds for step in taken) <= whole
