"""Equalized layers compute what they did, with ranges of weights that are alike."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgekd.algorithms.equalization import Linear, equalized

GENERATOR = np.random.default_rng(0)
CHAIN = ("wide", "depthwise", "grouped", "last")
PAIRS = list(pairwise(CHAIN))


def layer(outputs: int, inputs: int, groups: int = 1) -> Linear:
    """Weights of which some channels are a hundred times as large as others."""
    weights = (
        GENERATOR.normal(size=(outputs, inputs // groups, 3, 3)) * np.logspace(-1, 1, outputs)[:, None, None, None]
    )
    return Linear(weights.astype(np.float32), GENERATOR.normal(size=outputs).astype(np.float32), groups)


def chain() -> dict[str, Linear]:
    return dict(zip(CHAIN, (layer(8, 3), layer(8, 8, 8), layer(12, 8, 4), layer(5, 12)), strict=True))


def run(layers: dict[str, Linear]) -> Tensor:
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 9, 9)))
    for name in CHAIN:
        weights, bias = (torch.from_numpy(each).double() for each in (layers[name].weights, layers[name].bias))
        values = functional.relu(functional.conv2d(values, weights, bias, padding=1, groups=layers[name].groups))
    return values


def peaks(layers: dict[str, Linear], pair: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """The largest weights that lead to each channel between two layers, and on from it."""
    first, second = layers[pair[0]], layers[pair[1]]
    split = np.split(np.abs(second.weights), second.groups)
    return np.abs(first.weights).max((1, 2, 3)), np.concatenate([each.max((0, 2, 3)) for each in split])


def test_the_outputs_stay() -> None:
    before = chain()
    after = equalized(before, PAIRS)
    assert torch.allclose(run(before), run(after), rtol=1e-5, atol=1e-5 * float(run(before).max()))


def test_both_sides_of_every_channel_come_to_the_same_range() -> None:
    before = chain()
    after = equalized(before, PAIRS)
    apart = [np.abs(np.log(np.divide(*peaks(before, pair)))).max() for pair in PAIRS]
    assert max(apart) > np.log(10)
    for pair in PAIRS:
        assert np.allclose(*peaks(after, pair), rtol=0.05)


def test_a_channel_without_weights_stays() -> None:
    before = chain()
    before["wide"].weights[3] = 0
    after = equalized(before, PAIRS[:1])
    assert np.array_equal(after["depthwise"].weights[3], before["depthwise"].weights[3])
    assert all(np.isfinite(each.weights).all() for each in after.values())
    assert after.keys() == set(PAIRS[0])
