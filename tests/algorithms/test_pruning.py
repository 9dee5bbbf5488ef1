from pathlib import Path

import pytest
import tinynet
import torch
from torch import nn

from edgekd.algorithms.pruning import multiply_accumulates, prune_channels
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
    before, after = prune_channels(module, EXAMPLE, kept, 8)
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
    prune_channels(module, EXAMPLE, 0.7, 8)
    assert channels(module)[0] == 24
    torch.testing.assert_close(first.weight.detach(), kept)


def test_a_target_out_of_reach_takes_what_it_can() -> None:
    module = student(8)
    before, after = prune_channels(module, EXAMPLE, 0.01, 8)
    assert 0.01 * before < after <= before
    assert min(channels(module)) >= 8


def test_a_pruned_model_can_be_saved_and_loaded(tmp_path: Path) -> None:
    module = student()
    prune_channels(module, EXAMPLE, 0.4, 8)
    spec = loading.ModelSpec("tinynet:student", {"width": 32})
    loaded, found = loading.load(loading.save(module, spec, tmp_path / "pruned.safetensors"))
    assert found == spec
    assert channels(loaded) == channels(module) != channels(student())
    images = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(images), module.eval()(images))
