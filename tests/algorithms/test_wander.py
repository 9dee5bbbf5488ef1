"""Bounds for runs whose level wanders: they hold where order statistics give none, and decide what lies far away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter

from edgekd.algorithms.order_statistics import effective_sample_size, percentile_bounds
from edgekd.algorithms.wander import session_bounds, wandering_bounds

Series = npt.NDArray[np.float64]
RUNS = 1024


def wandering(tau: float) -> Callable[[np.random.Generator, int], Series]:
    """An autoregressive series around 1, its standard deviation 2 %, its autocorrelation time ``tau``."""
    share = (tau - 1) / (tau + 1)

    def of(generator: np.random.Generator, count: int) -> Series:
        steps = generator.standard_normal(count + 2000)
        found: Series = 1 + 0.02 * lfilter([np.sqrt(1 - share**2)], [1, -share], steps)[2000:]
        return found

    return of


@pytest.mark.parametrize(("tau", "percent"), [(19, 95), (200, 50), (200, 95)])
def test_the_true_percentile_lies_within_where_order_statistics_give_no_bound(tau: float, percent: float) -> None:
    generator, made = np.random.default_rng(11), wandering(tau)
    true = float(np.quantile(made(generator, 2_000_000), percent / 100))
    bounded = missed = 0
    for _ in range(400):
        values = made(generator, RUNS).tolist()
        if percentile_bounds(values, percent, effective_sample_size(values, percent)).upper is not None:
            continue
        if (found := wandering_bounds(values, percent)) is not None:
            bounds, worth = found
            assert worth >= bounds.needed
            assert bounds.lower is not None
            assert bounds.upper is not None
            bounded += 1
            missed += not bounds.lower <= true <= bounds.upper
    assert bounded >= 20, "or this shows nothing"
    assert missed <= 0.01 * bounded


@pytest.mark.parametrize("grown", [0.02, 0.05, 0.08])
@pytest.mark.parametrize("runs", [RUNS, 8 * RUNS])
def test_a_device_that_warms_up_has_bounds_near_its_runs(grown: float, runs: int) -> None:
    """With 1 % of noise; the range of levels, seen once and allowed for once more, is what they are wide by."""
    for seed in range(20):
        noise = np.exp(0.01 * np.random.default_rng(seed).standard_normal(runs))
        values = (0.010 * noise * (1 + grown * np.arange(runs) / runs)).tolist()
        for percent in (50, 90, 95):
            bounds = session_bounds(values, percent)
            assert bounds.upper is not None
            assert bounds.point < bounds.upper < 0.010 * (1 + 2.5 * grown) * 1.05


def test_slow_runs_in_short_bursts_are_no_wandering_level() -> None:
    values = 1 + 0.01 * np.random.default_rng(4).standard_normal(RUNS)
    for start in (100, 300, 500, 700):
        values[start : start + 20] += 0.4  # 8 % of the runs, in four bursts
    assert effective_sample_size(values.tolist(), 95) < 90
    assert session_bounds(values.tolist(), 95).upper is None


def test_short_sessions_and_levels_far_apart_have_none() -> None:
    generator = np.random.default_rng(0)
    rising = 1 + 0.05 * np.arange(255) / 255 + 0.001 * generator.standard_normal(255)
    assert wandering_bounds(rising.tolist(), 50) is None
    two = np.repeat([1.0, 1.12], 512) * (1 + 0.01 * generator.standard_normal(RUNS))
    assert wandering_bounds(two.tolist(), 50) is None
