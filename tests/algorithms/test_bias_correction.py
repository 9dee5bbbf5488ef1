"""Mean outputs out of mean inputs: those of torch's convolutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgekd.algorithms.bias_correction import Window, mean_outputs, means


@pytest.mark.parametrize(
    "window",
    [
        Window(),
        Window((2, 1), ((1, 1), (2, 2))),
        Window((2, 3), ((0, 0), (1, 1)), (2, 1), 2),
        Window((1, 1), ((1, 1), (1, 1)), (1, 2), 4),
    ],
)
def test_they_are_the_mean_of_the_outputs_of_all_rows(window: Window) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(6, 4, 11, 10))
    weights = generator.normal(size=(8, 4 // window.groups, 3, 3))
    padding = (window.padding[0][0], window.padding[1][0])
    tensors = (torch.from_numpy(rows), torch.from_numpy(weights))
    outputs = functional.conv2d(*tensors, None, window.strides, padding, window.dilations, window.groups)
    inputs = means({"x": row} for row in rows)["x"]
    assert np.allclose(mean_outputs(weights, inputs, window), outputs.mean((0, 2, 3)))


def test_padding_may_be_on_one_side() -> None:
    found = mean_outputs(np.ones((1, 1, 1, 3)), np.array([[[1.0, 2.0, 6.0]]]), Window(padding=((0, 0), (0, 2))))
    assert found == pytest.approx([(9 + 8 + 6) / 3])
