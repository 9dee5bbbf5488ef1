"""INT8 simulated while a module runs: where it rounds, to what, and that the module is untouched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.algorithms.fake_quant import fake_quantize, fake_quantize_items, fake_quantize_weights
from edgekd.errors import StageError
from edgekd.models import convnet
from edgekd.models.call_plan import plan_calls
from edgekd.models.simulation import DynamicSimulation, Simulation


class Forked(nn.Module):
    """Ways to put values together and apart: what they share is one range."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(2))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        first, second = self.left(images), self.right(images).sigmoid()
        both = torch.cat([first, first * second], 1)
        return nn.functional.avg_pool2d(self.norm(both), 2).flatten(1).mean(1, keepdim=True)


class Fickle(nn.Module):
    """Computes something else for more than two rows."""

    def forward(self, values: Tensor) -> Tensor:
        return values * 2 if len(values) > 2 else values + 2


def images(count: int = 8, channels: int = 3, size: int = 12) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(4))


def student() -> nn.Module:
    torch.manual_seed(1)
    network = convnet.student(classes=3, widths=(4, 6, 8), grid=0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def test_a_residual_network_rounds_its_input_each_block_each_sum_the_mean_and_its_scores() -> None:
    plan = plan_calls(student(), [images(2)])
    found = [(call.name, call.site) for call in plan.calls if call.site is not None]
    assert plan.inputs == (0,)
    assert [name for name, _ in found] == [*["hardtanh"] * 4, "add", "hardtanh", "mean", "linear"]
    assert [site for _, site in found] == list(range(1, plan.sites))
    assert [call.name for call in plan.calls if call.weighted] == [*["conv2d"] * 5, "linear"]
    assert sum(call.skipped for call in plan.calls) == 5


def test_what_is_put_together_or_averaged_has_one_range_and_what_a_kernel_sets_none() -> None:
    plan = plan_calls(Forked().eval(), [images(2, 2)])
    sites: dict[str, list[int | None]] = {}
    for call in plan.calls:
        sites.setdefault(call.name, []).append(call.site)
    assert sites["sigmoid"] == [None]
    assert sites["mul"] == sites["cat"] == [sites["conv2d"][0]]
    assert sites["conv2d"][1] not in (None, sites["conv2d"][0])
    assert sites["batch_norm"] == sites["avg_pool2d"] == sites["flatten"]  # no convolution is before it
    assert [call.name for call in plan.calls if call.site is not None and not call.rounds] == ["cat", "flatten"]


def begun(module: nn.Module, values: Tensor) -> Simulation:
    simulation = Simulation(module, [values[:2]])
    simulation.begin(iter([[values]]))
    return simulation


def test_a_convolution_runs_with_the_rounded_weights_that_it_has_after_folding() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network(images())  # in training: moves the statistics
    network.eval()
    given = images(5)
    plain = network(given)
    simulation = begun(network, given)
    made = network(given)
    (low, high), (zero, top) = (map(torch.tensor, each) for each in simulation.ranges())
    conv, norm = network[0], network[1]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None, None]
    assert conv.bias is not None
    bias = (conv.bias - norm.running_mean) * factor.flatten() + norm.bias
    folded = fake_quantize_weights(conv.weight * factor)
    expected = nn.functional.conv2d(fake_quantize(given, low, high), folded, bias).relu()
    torch.testing.assert_close(made, fake_quantize(expected, zero, top), atol=1e-4, rtol=0)
    assert zero == 0
    assert len(made.unique()) <= 256 < len(plain.unique())
    simulation.end()
    assert torch.equal(network(given), plain)


def test_all_that_counts_in_int8_gets_gradients_and_statistics_stay() -> None:
    network, given = student(), images()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    simulation = begun(network, given)
    network.train()  # as a training loop does
    network(given).square().mean().backward()
    assert all(each.grad is not None and bool(each.grad.any()) for each in network.parameters())
    assert simulation.ends.grad is not None
    assert bool(simulation.ends.grad.any(1).all())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not [name for name in simulation.state_dict() if name not in ("ends", "start")]


def test_ranges_move_by_what_is_trained_and_an_end_at_zero_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    simulation = begun(network, images())
    first = simulation.ranges()
    with torch.no_grad():
        simulation.ends += torch.log(torch.tensor(2.0))
    np.testing.assert_allclose(simulation.ranges(), 2 * np.array(first), rtol=1e-6)
    assert simulation.ranges()[1][0] == 0.0


def test_a_network_that_changes_its_mind_is_refused() -> None:
    network = Fickle()
    begun(network, images(2))
    with pytest.raises(StageError, match="qat: found a call of 'mul' where the network had called 'add' before"):
        network(images(3))
    torch.testing.assert_close(torch.ones(1) * 2, torch.full((1,), 2.0))  # no mode is left open


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(StageError, match=r"qat: found values from .*inf, expected finite ones"):
        begun(nn.Sequential(nn.ReLU()), torch.tensor([[1.0], [torch.inf]]))


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_transformers_products_run_in_dynamic_int8(per_channel: bool) -> None:  # noqa: FBT001
    torch.manual_seed(0)
    layer, table, ids = nn.Linear(6, 4), nn.Embedding(9, 6), torch.tensor([[1, 2], [3, 8]])
    rows = fake_quantize_weights(table.weight)[ids]
    expected = nn.functional.linear(
        fake_quantize_items(rows), fake_quantize_weights(layer.weight, per_channel=per_channel), layer.bias
    )
    network = nn.Sequential(table, layer)
    plain, simulation = network(ids), DynamicSimulation(network, per_channel=per_channel)
    torch.testing.assert_close(network(ids), expected)
    assert not torch.equal(network(ids), plain)
    simulation.end()
    assert torch.equal(network(ids), plain)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_tensor_that_never_changes_has_a_range_that_holds_it(value: float) -> None:
    network: Callable[[Tensor], Tensor] = nn.Sequential(nn.Identity(), nn.Hardswish())
    simulation = begun(network, torch.full((2, 3), value))  # type: ignore[arg-type]
    (low, high), _ = simulation.ranges()
    assert low == pytest.approx(value, abs=0.01)
    assert high == (1.0 if value == 0 else 0.0)
    torch.testing.assert_close(network(torch.full((2, 3), value)), torch.zeros(2, 3), atol=0.01, rtol=0)
