"""Energy: the mean power of a span of time, by readings of power or counters of energy, and what a run takes of it.

energy of a run = (mean power while running - mean power at rest) * time of a run
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
PARTS = 10  # of a span, by whose spread a counter's error is judged


@dataclass(frozen=True, slots=True)
class Power:
    """The mean power of a span of ``seconds``, with its standard error; ``readings`` of each source."""

    watts: float
    error_w: float
    seconds: float
    readings: int

    @property
    def hertz(self) -> float:
        """How often it was read."""
        return (self.readings - 1) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """The energy of one run, in J: above rest, with rest in it, and the standard error of the first."""

    net_j: float
    with_rest_j: float
    error_j: float


def from_readings(times_s: Values, watts: Values) -> Power:
    """By the integral of power over time (trapezoids), so that readings may be unevenly apart.

    >>> from_readings(np.array([0.0, 1.0, 4.0]), np.array([1.0, 1.0, 3.0])).watts
    1.75
    """
    seconds = float(times_s[-1] - times_s[0])
    mean_w = float(np.trapezoid(watts, times_s)) / seconds
    return Power(mean_w, float(np.std(watts, ddof=1)) / math.sqrt(len(watts)), seconds, len(watts))


def from_counters(rails: Mapping[str, tuple[Values, Values]], begin_s: float, end_s: float) -> Power:
    """By how much counters of energy (s, J) rose between two moments; a rail's value between readings is interpolated.

    Its standard error is that of the mean of PARTS equal parts.

    >>> rail = np.array([0.0, 2.0, 4.0]), np.array([10.0, 14.0, 18.0])
    >>> from_counters({"CPU": rail, "GPU": rail}, 1.0, 3.0).watts
    4.0
    """
    edges = np.linspace(begin_s, end_s, PARTS + 1)
    joules = np.sum([np.interp(edges, times_s, values) for times_s, values in rails.values()], axis=0)
    parts_w = np.diff(joules) / np.diff(edges)
    mean_w = float(joules[-1] - joules[0]) / (end_s - begin_s)
    inside = [int(np.sum((times_s >= begin_s) & (times_s <= end_s))) for times_s, _ in rails.values()]
    return Power(mean_w, float(np.std(parts_w, ddof=1)) / math.sqrt(PARTS), end_s - begin_s, min(inside))


def of_a_run(running: Power, rest: Power, run_s: float) -> Run:
    """What a run of ``run_s`` takes.

    >>> of_a_run(Power(3.0, 0.0, 10.0, 100), Power(1.0, 0.0, 5.0, 50), 0.5)
    Run(net_j=1.0, with_rest_j=1.5, error_j=0.0)
    """
    error_w = math.hypot(running.error_w, rest.error_w)
    return Run((running.watts - rest.watts) * run_s, running.watts * run_s, error_w * run_s)
