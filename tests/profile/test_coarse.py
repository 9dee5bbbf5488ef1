"""Samples from a clock with long steps."""

import doctest
from collections.abc import Sequence

from edgekd.profile import child, coarse
from edgekd.profile.rules import Plan

STEP_S = 5e-6


class Page:
    """Runs that take what they take, as a page would tell of them."""

    def __init__(self, *phases: tuple[int, float]) -> None:
        self._phases = list(phases)  # so many runs of so many seconds each; the last for ever
        self.asked: list[tuple[float, int]] = []

    def __call__(self, seconds: float, together: int) -> Sequence[float]:
        self.asked.append((seconds, together))
        found: list[float] = []
        while sum(found) < seconds or len(found) % together:
            count, run_s = self._phases[0]
            self._phases[0] = count - 1, run_s
            if count == 1 and len(self._phases) > 1:
                self._phases.pop(0)
            found.append(run_s)
        return found


def test_the_examples_hold() -> None:
    assert doctest.testmod(coarse).failed == 0


def test_a_run_of_no_time_at_all_still_makes_samples() -> None:
    assert coarse.runs_per_sample(0.0, STEP_S) == coarse.STEPS


def test_warm_up_ends_once_it_gets_no_faster() -> None:
    faster = [(child.WARMUP_WINDOW, 0.01 * 0.97**turn) for turn in range(20)]
    found, settled, together = coarse.warm_up(Page(*faster, (1, 5e-3)), STEP_S)
    assert (settled, together) == (True, 1)
    assert found[20 * child.WARMUP_WINDOW :][:1] == (5e-3,)  # through all that got faster
    assert len(found) < 24 * child.WARMUP_WINDOW


def test_warm_up_gives_up_where_it_always_gets_faster() -> None:
    faster = Page(*((child.WARMUP_WINDOW, 0.1 * 0.97**turn) for turn in range(400)))
    found, settled, _ = coarse.warm_up(faster, STEP_S)
    assert not settled
    assert sum(found) >= child.WARMUP_MAX_S


def test_short_runs_are_taken_together_and_long_ones_are_not() -> None:
    for run_s, together in ((20e-6, 25), (499e-6, 2), (500e-6, 1)):
        found, _, runs = coarse.warm_up(Page((1, run_s)), STEP_S)
        assert runs == together
        assert len(found) >= 2 * child.WARMUP_WINDOW


def test_a_burst_of_other_work_is_not_taken_for_long_runs() -> None:
    _, _, together = coarse.warm_up(lambda seconds, _: [20e-6] * 60 + [seconds], STEP_S)
    assert together == 25


def test_both_minima_hold_for_samples_of_several_runs() -> None:
    kept: list[float] = []
    page = Page((1, 1e-3))
    assert coarse.time_runs(page, Plan(min_runs=300, min_seconds=0.2), 4, kept) == 0
    assert len(kept) >= 4 * 300
    assert len(kept) % 4 == 0
    assert set(page.asked) == {(coarse.TURN_S, 4)}
    kept.clear()
    coarse.time_runs(page, Plan(min_runs=1, min_seconds=1.7), 4, kept)
    assert sum(kept) >= 1.7


def test_a_sustained_plan_ends_at_a_steady_speed() -> None:
    kept: list[float] = []
    slower = Page((70, 1.0), (1, 2.0))  # as a processor that gets hot
    steady = coarse.time_runs(slower, Plan(min_runs=1, min_seconds=600, sustained=True), 1, kept)
    assert child.STEADY_WINDOW_S * child.STEADY_WINDOWS / 2.0 <= steady <= len(kept) - 70
    assert sum(kept) < 600
