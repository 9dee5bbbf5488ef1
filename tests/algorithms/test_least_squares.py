import itertools

import pytest
import torch

from edgekd.algorithms.least_squares import Moments, fit


def moments(inputs: torch.Tensor, targets: torch.Tensor, parts: int = 3) -> Moments:
    made = Moments(inputs.shape[1], targets.shape[1])
    for rows, wanted in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        made.add(rows, wanted)
    return made


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(400, 100, generator=torch.Generator().manual_seed(1))


def test_a_layer_is_found_again(inputs: torch.Tensor) -> None:
    weight, bias = torch.randn(5, 100), torch.randn(5)
    found = fit(moments(inputs, inputs @ weight.T + bias), 100)
    assert torch.allclose(found.weight, weight, atol=1e-3)
    assert torch.allclose(found.bias, bias, atol=1e-3)
    assert found.unexplained < 1e-6


def test_inputs_that_nothing_needs_go_and_so_do_copies(inputs: torch.Tensor) -> None:
    inputs[:, 40:] = inputs[:, :60]  # each of 0 to 39 is there twice, 40 to 59 and 80 to 99 are the same
    weight = torch.zeros(5, 100)
    weight[:, 10:14] = torch.randn(5, 4)
    targets = inputs @ weight.T
    found = fit(moments(inputs, targets), 4)
    assert sorted(place % 40 for place in found.kept.tolist()) == [10, 11, 12, 13]
    assert torch.allclose(inputs[:, found.kept] @ found.weight.T + found.bias, targets, atol=1e-2)


def test_what_is_left_is_the_residual_of_an_ordinary_fit(inputs: torch.Tensor) -> None:
    targets = inputs[:, :3] + torch.randn(400, 3, generator=torch.Generator().manual_seed(2))
    found = fit(moments(inputs, targets), 3)
    extended = torch.cat([inputs[:, found.kept], torch.ones(400, 1)], 1)
    residual = targets - extended @ torch.linalg.lstsq(extended, targets).solution
    share = residual.square().sum() / (targets - targets.mean(0)).square().sum()
    assert found.kept.tolist() == [0, 1, 2]
    assert found.unexplained == pytest.approx(float(share), abs=1e-5)


def test_of_groups_the_one_goes_that_the_others_make_up_for(inputs: torch.Tensor) -> None:
    inputs[:, 20:40] = inputs[:, :20] @ torch.randn(20, 20)  # the second of five groups holds nothing new
    targets = inputs @ torch.randn(100, 5) * 10
    found = fit(moments(inputs, targets), 4, width=20)
    assert found.kept.tolist() in ([*range(20, 100)], [*range(20), *range(40, 100)])
    assert found.unexplained < 1e-4
    assert fit(moments(inputs, targets), 5, width=20).kept.tolist() == [*range(100)]


def test_a_group_of_one_is_an_input(inputs: torch.Tensor) -> None:
    """By brute force: of six inputs, the two whose ordinary fit leaves least, where greedy elimination finds them."""
    few = inputs[:, :6]
    targets = few[:, [1]] * 3 + few[:, [4]] * 2 + few[:, [0]] * 0.1
    left = {}
    for pair in itertools.combinations(range(6), 2):
        chosen = torch.cat([few[:, pair], torch.ones(400, 1)], 1)
        left[pair] = float((targets - chosen @ torch.linalg.lstsq(chosen, targets).solution).square().sum())
    assert tuple(fit(moments(few, targets), 2).kept.tolist()) == min(left, key=lambda pair: left[pair])
