"""Told runs: single runs that a program told when it had ended, by the rules of edgekd's own runners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekd.profile import child

ROUNDED_S = 1e-6  # of a sum of runs


def warmed_up(runs_s: Sequence[float]) -> tuple[int, bool]:
    """How many of the first runs were warm-up, by the rule of ``child.warm_up``, and whether it came to an end.

    >>> warmed_up([0.1] * 20)
    (16, True)
    """
    elapsed_s = 0.0
    for count, run_s in enumerate(runs_s, 1):
        elapsed_s += run_s
        enough = count >= 2 * child.WARMUP_WINDOW and elapsed_s >= child.WARMUP_MIN_S
        if enough and child.settled(runs_s[count - 2 * child.WARMUP_WINDOW : count]):
            return count, True
        if elapsed_s >= child.WARMUP_MAX_S and count >= 2 * child.WARMUP_WINDOW:
            return count, False
    return 0, False


def steady_runs(runs_s: Sequence[float]) -> int:
    """How many of the last runs were at a steady speed, by the windows of ``child.Steady``; 0 where they were not.

    The windows are counted from the end: the speed that lasted is that of the end.

    >>> steady_runs([2.0] * 30 + [1.0] * 120), steady_runs([1.0] * 60 + [2.0] * 30), steady_runs([1.0] * 100)
    (120, 0, 0)
    """
    ends_s = np.cumsum(runs_s)
    total_s = float(ends_s[-1]) if len(ends_s) else 0.0
    marks_s = total_s - child.STEADY_WINDOW_S * np.arange(child.STEADY_WINDOWS, -1, -1)
    if marks_s[0] < -ROUNDED_S:
        return 0
    ended = np.searchsorted(ends_s, marks_s + ROUNDED_S, side="right")  # runs, by each mark
    counts, times_s = np.diff(ended), np.diff(np.concatenate(([0.0], ends_s))[ended])
    if counts.min() < 1:
        return 0
    means_s = times_s / counts
    return int(counts.sum()) if means_s.max() <= (1 + child.STEADY_SPREAD) * means_s.min() else 0
