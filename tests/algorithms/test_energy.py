"""Mean power by readings and by counters, with its error; energy of a run."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.algorithms import energy


def test_readings_that_are_unevenly_apart_count_by_their_time() -> None:
    times = np.concatenate([np.arange(0, 5, 0.1), np.arange(5, 10, 1.0), [10.0]])
    found = energy.from_readings(times, np.where(times < 5, 1.0, 3.0))
    assert found.watts == pytest.approx(2.0, abs=0.02)  # the plain mean of the readings is 1.2
    assert (found.seconds, found.readings) == (10.0, 56)
    assert found.hertz == pytest.approx(5.5)


def test_a_counter_gives_what_it_rose_by_in_the_span_alone() -> None:
    times = np.arange(100.0, 120.0, 0.25)
    watts = np.where((times >= 105) & (times < 115), 4.0, 1.0)
    joules = 1e6 + np.concatenate([[0.0], np.cumsum(watts[:-1] * 0.25)])  # since the start of the phone
    slow = times[::8], 0.5 * times[::8]  # read every two seconds
    found = energy.from_counters({"CPU": (times, joules), "DDR": slow}, 105.0, 115.0)
    assert found.watts == pytest.approx(4.5)
    assert found.error_w == pytest.approx(0.0, abs=1e-9)
    assert found.readings == 5
    uneven = energy.from_counters({"CPU": (times, joules)}, 101.0, 119.0)
    assert uneven.error_w > 0.3


def test_the_error_covers_the_truth_where_power_is_noisy() -> None:
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        times = np.arange(0, 10.05, 0.1)
        joules = np.concatenate([[0.0], np.cumsum(generator.normal(2.0, 0.5, len(times) - 1) * 0.1)])
        found = energy.from_counters({"CPU": (times, joules)}, 0.0, 10.0)
        covered += abs(found.watts - 2.0) <= 1.83 * found.error_w  # 90 % of Student's t with 9 degrees of freedom
    assert 160 <= covered <= 198


def test_errors_of_both_spans_add_up() -> None:
    found = energy.of_a_run(energy.Power(3.0, 0.3, 10.0, 100), energy.Power(1.0, 0.4, 5.0, 50), 0.1)
    assert (found.net_j, found.with_rest_j, found.error_j) == pytest.approx((0.2, 0.3, 0.05))
