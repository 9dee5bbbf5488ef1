"""Coarse: times from a clock with long steps, as browsers have, become samples that can be told apart.

A browser's clock goes in steps of 5 µs or more, so that no page can spy on another by it. Where one run takes less
than a hundred of them, a sample is the mean of as many runs in a row as do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median

from edgekd.profile import child
from edgekd.profile.rules import Plan

STEPS = 100  # of the clock that a sample takes at least, so that reading it is off by 1 % at most
WARMUP_TURN_S = 0.02
TURN_S = 0.5  # asked for at once: whoever reads along has all but the last half second if the page dies
Runs = Callable[[float, int], Sequence[float]]  # times of single runs, for at least so many seconds, in such multiples


def runs_per_sample(run_s: float, step_s: float) -> int:
    """How many runs make a sample.

    >>> runs_per_sample(0.00015, 0.000005), runs_per_sample(0.002, 0.000005)
    (4, 1)
    """
    return max(1, math.ceil(STEPS * step_s / run_s)) if run_s > 0 else STEPS


def samples(runs_s: Sequence[float], together: int) -> tuple[float, ...]:
    """The mean of each ``together`` runs in a row, without those left over at the end.

    >>> samples([1.0, 3.0, 5.0, 7.0, 9.0], 2)
    (2.0, 6.0)
    """
    whole = len(runs_s) - len(runs_s) % together
    return tuple(fmean(runs_s[start : start + together]) for start in range(0, whole, together))


def warm_up(runs: Runs, step_s: float) -> tuple[tuple[float, ...], bool, int]:
    """Run until it gets no faster, by the rule of ``child.warm_up``.

    Returns its samples, whether it settled, and how many runs make a sample.
    """
    runs_s: list[float] = []
    while True:
        turn = runs(WARMUP_TURN_S, 1)
        runs_s += turn
        together = runs_per_sample(median(turn), step_s)  # other work's bursts are no runs
        found = samples(runs_s, together)
        enough, elapsed_s = len(found) >= 2 * child.WARMUP_WINDOW, sum(runs_s)
        if enough and elapsed_s >= child.WARMUP_MIN_S and child.settled(found):
            return found, True, together
        if enough and elapsed_s >= child.WARMUP_MAX_S:
            return found, False, together


def time_runs(runs: Runs, plan: Plan, together: int, kept: list[float]) -> int:
    """Put single runs into ``kept`` until both minima hold, or the speed is steady where the plan says so.

    Returns how many samples at the end were at a steady speed. The plan's runs are samples.
    """
    steady, elapsed_s, window_s = child.Steady(), 0.0, 0.0
    while len(kept) < plan.min_runs * together or elapsed_s < plan.min_seconds:
        turn = runs(TURN_S, together)
        kept += turn
        elapsed_s += sum(turn)
        if plan.sustained and elapsed_s - window_s > child.STEADY_WINDOW_S:
            window_s = elapsed_s
            if steady.reached(len(kept) // together, int(elapsed_s * 1e9)) and len(kept) >= plan.min_runs * together:
                break
    return steady.runs
