from pathlib import Path

import pytest
import tinynet
import torch
from torch import nn

from edgekd.algorithms.pruning import Importance, Wish, multiply_accumulates, prune_channels, zero_smallest
from edgekd.models import loading

EXAMPLE = torch.zeros(1, 3, 12, 12)


def student(width: int = 32) -> nn.Module:
    torch.manual_seed(1)
    return tinynet.student(width=width).eval()


def channels(module: nn.Module) -> list[int]:
    return [layer.out_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def test_the_worked_example_of_a_convolution() -> None:
    assert multiply_accumulates(nn.Sequential(nn.Conv2d(2, 4, 3)), torch.zeros(1, 2, 7, 7)) == 1800


def test_counting_leaves_no_hooks() -> None:
    module = student()
    assert multiply_accumulates(module, EXAMPLE) == 36 * 27 * 32 + 9 * 9 * 32 * 64 + 64 * 3
    assert not any(layer._forward_hooks for layer in module.modules())


@pytest.mark.parametrize("kept", [0.8, 0.5, 0.3])
def test_the_target_is_met_in_groups_of_8_and_every_class_is_kept(kept: float) -> None:
    module = student()
    before, after = prune_channels(module, EXAMPLE, Wish(kept, round_to=8))
    assert before == multiply_accumulates(student(), EXAMPLE)
    assert after == multiply_accumulates(module, EXAMPLE) <= kept * before
    assert all(count % 8 == 0 and count > 0 for count in channels(module))
    assert channels(module) < channels(student())
    assert module(EXAMPLE).shape == (1, 3)


def test_in_each_layer_channels_that_do_nothing_go_first() -> None:
    module = student()
    first = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    kept = first.weight.detach()[8:].clone()
    norm = next(layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d))
    second = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)][1]
    with torch.no_grad():
        first.weight[:8] = 0
        norm.weight[:8] = 0
        second.weight[:, :8] = 0
    prune_channels(module, EXAMPLE, Wish(0.7, round_to=8))
    assert channels(module)[0] == 24
    torch.testing.assert_close(first.weight.detach(), kept)


def test_a_target_out_of_reach_takes_what_it_can() -> None:
    module = student(8)
    before, after = prune_channels(module, EXAMPLE, Wish(0.01, round_to=8))
    assert 0.01 * before < after <= before
    assert min(channels(module)) >= 8


def test_a_pruned_model_can_be_saved_and_loaded(tmp_path: Path) -> None:
    module = student()
    prune_channels(module, EXAMPLE, Wish(0.4, round_to=8))
    spec = loading.ModelSpec("tinynet:student", {"width": 32})
    loaded, found = loading.load(loading.save(module, spec, tmp_path / "pruned.safetensors"))
    assert found == spec
    assert channels(loaded) == channels(module) != channels(student())
    images = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(images), module.eval()(images))


ROWS = torch.randn(96, 3, 12, 12, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "batch-norm"])
@pytest.mark.parametrize("equal_shares", [True, False])
def test_every_importance_reaches_the_target(importance: Importance, equal_shares: bool) -> None:  # noqa: FBT001
    module = student()
    for norm in (each for each in module.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight)  # untrained, all are 1
    wish = Wish(0.5, importance=importance, equal_shares=equal_shares)
    before, after = prune_channels(module, EXAMPLE, wish, ROWS)
    assert after == multiply_accumulates(module, EXAMPLE) <= 0.5 * before
    assert all(parameter.grad is None for parameter in module.parameters())
    assert module(EXAMPLE).shape == (1, 3)


def test_parameters_can_be_the_target() -> None:
    module = student()
    before, after = prune_channels(module, EXAMPLE, Wish(0.4, of="parameters"))
    assert before == sum(each.numel() for each in student().parameters())
    assert after == sum(each.numel() for each in module.parameters()) <= 0.4 * before


def test_taylor_takes_large_weights_that_nothing_depends_on() -> None:
    """Eight channels with the largest weights of all, which the next layer doesn't read."""

    def made() -> nn.Module:
        module = student()
        first, second = (layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
        with torch.no_grad():
            first.weight[:8] *= 20
            second.weight[:, :8] = 0
        return module

    by_size, by_loss = made(), made()
    prune_channels(by_size, EXAMPLE, Wish(0.7))
    prune_channels(by_loss, EXAMPLE, Wish(0.7, importance="taylor"), ROWS)
    plain = made()(ROWS)
    assert channels(by_loss)[0] == channels(by_size)[0] == 24
    first = next(layer for layer in by_loss.modules() if isinstance(layer, nn.Conv2d))
    largest = next(layer for layer in by_size.modules() if isinstance(layer, nn.Conv2d))
    assert first.weight.abs().max() < largest.weight.abs().max()
    assert (by_loss(ROWS) - plain).abs().mean() < (by_size(ROWS) - plain).abs().mean()


def test_taylor_needs_rows() -> None:
    with pytest.raises(ValueError, match="found no rows"):
        prune_channels(student(), EXAMPLE, Wish(0.5, importance="taylor"))


def test_zeroed_weights_stay_zero_through_training_and_are_plain_weights_after_it() -> None:
    module = student()
    names = set(module.state_dict())
    release = zero_smallest(module, 0.75)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(ROWS).square().sum().backward()
    optimizer.step()
    release()
    assert set(module.state_dict()) == names
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    zero = sum(int((weight == 0).sum()) for weight in weights)
    assert zero == round(0.75 * sum(weight.numel() for weight in weights))
