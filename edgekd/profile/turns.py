"""Compare the speed of models that take turns, so that each of them meets the same machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.order_statistics import percentile_bounds
from edgekd.profile.measurement import Interval

TURNS = 15
WARM, MOST_RUNS = 2, 10  # of one turn: the first ones fill the caches again
TURN_SECONDS = 0.05

Seconds = npt.NDArray[np.float64]


def take_turns(runs: Sequence[Callable[[], object]], turns: int = TURNS) -> Seconds:
    """Return the median seconds of each turn: (models, turns). Each of ``runs`` runs one model once.

    A turn is of ten runs, or of as many as 50 ms hold, but at least one: a model that runs once between others finds
    the caches full of their weights, which is not how it will be used.
    """
    counts = [_runs_in_a_turn(_seconds(run)) for run in runs]
    found = np.empty((len(runs), turns))
    for turn in range(turns):
        for place, (run, count) in enumerate(zip(runs, counts, strict=True)):
            found[place, turn] = np.median([_seconds(run) for _ in range(WARM + count)][WARM:])
    return found


def speed_up(slower: Seconds, faster: Seconds) -> Interval:
    """How many times as fast the second is: the median of the turns' ratios, with its 99 % bounds.

    Bounds that so few turns can't give are 0 and infinity.
    """
    ratios = tuple((slower / faster).tolist())
    bounds = percentile_bounds(ratios, 50, len(ratios))
    return Interval(bounds.point, bounds.lower or 0.0, math.inf if bounds.upper is None else bounds.upper)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _runs_in_a_turn(seconds: float) -> int:
    return max(1, min(MOST_RUNS, int(TURN_SECONDS / seconds)))
