import math
import time

import numpy as np

from edgekd.profile.turns import MOST_RUNS, WARM, speed_up, take_turns


def test_each_model_runs_in_every_turn() -> None:
    order = []
    found = take_turns([lambda: order.append("a"), lambda: order.append("b")], turns=3)
    assert found.shape == (2, 3)
    turn = WARM + MOST_RUNS
    assert "".join(order) == "ab" + ("a" * turn + "b" * turn) * 3


def test_a_slow_model_runs_once_a_turn() -> None:
    calls = []

    def slow() -> None:
        calls.append(None)
        time.sleep(0.06)

    found = take_turns([slow], turns=1)
    assert len(calls) == 1 + WARM + 1
    assert found[0, 0] >= 0.06


def test_a_speed_up_has_bounds_that_few_turns_cannot_give() -> None:
    slower, faster = np.full(15, 3.0), np.linspace(1.0, 2.0, 15)
    found = speed_up(slower, faster)
    assert found.lower < found.point < found.upper
    assert found.point == 3 / faster[7]
    few = speed_up(slower[:3], faster[:3])
    assert (few.lower, few.upper) == (0.0, math.inf)
