"""How far outputs may lie apart: whole steps of an INT8 output, whatever floats make of them."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.bundle.tolerances import STEPS, _limit


@pytest.mark.parametrize("isa", STEPS)
@pytest.mark.parametrize("scale", [0.1, 1 / 3, 0.0473, 3.0517578e-05])
def test_neighbours_are_within_whole_steps_and_the_next_ones_are_not(isa: str, scale: float) -> None:
    values = np.arange(-128, 128).astype(np.float32) * np.float32(scale)
    limit, because = _limit(isa, float(np.float32(scale)), 0.0)
    steps = STEPS[isa]
    within, beyond = (np.abs(values[many:] - values[:-many]).astype(float) for many in (steps, steps + 1))
    assert within.max() <= limit < beyond.min()
    assert because.startswith(f"{steps} output step")
    assert within.max() > float(np.float32(scale)) * steps or scale != 0.1  # why a step alone isn't enough
