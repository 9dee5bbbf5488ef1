from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tinybert
import torch
from torch import Tensor, nn

from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.encoder_parts import Importance, Parts, by_magnitude, by_taylor
from edgekd.models.encoder_pruning import Wish, parameters, prune, work
from edgekd.models.encoder_source import from_folder
from edgekd.models.loading import ModelSpec
from edgekd.models.smaller import Sizes, smaller

EXAMPLE = (torch.arange(5, 15)[None], torch.ones(1, 10, dtype=torch.int64))
Model = tuple[Any, ModelSpec]


def encoder(folder: Path, name: str = "bert") -> Model:
    module, spec, _ = from_folder(tinybert.save_model(folder / name, name), normalize=False)
    return module, spec


@torch.no_grad()
def silence(module: nn.Module) -> None:
    """Let every other group of eight neurons and every other head of each layer write nothing."""
    parts = Parts(module)
    for layer in parts.numbers:
        parts.linear(layer, parts.known.down).weight.view(32, 3, 2, 8)[:, :, 0] = 0
        parts.linear(layer, parts.known.mixed).weight.view(32, 2, 2, 8)[:, :, 1] = 0


def outputs(module: nn.Module) -> Tensor:
    with torch.no_grad():
        made: Tensor = module(*EXAMPLE)
    return made


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("equal", [True, False])
def test_parts_that_write_nothing_are_the_ones_that_go(tmp_path: Path, name: str, equal: bool) -> None:  # noqa: FBT001
    module, spec = encoder(tmp_path, name)
    silence(module)
    silent = 4 * (24 * 2 * 32 * 10 + 16 * (4 * 32 * 10 + 2 * 10**2))  # multiply-accumulates of 10 tokens
    before = work(module, EXAMPLE)
    wish = Wish((before - silent + 0.5) / before, equal_shares=equal)
    made, _, shape = prune((module, spec), EXAMPLE, wish, by_magnitude(module), level=True)
    assert torch.allclose(outputs(made), outputs(module), atol=1e-5)
    assert (shape.heads, shape.neurons) == ((2,) * 4, (24,) * 4)
    assert work(made, EXAMPLE) == before - silent
    assert parameters(module) - parameters(made) == 4 * (24 * (2 * 32 + 1) + 16 * (4 * 32 + 3))


def test_layers_that_go_leave_what_a_student_of_the_others_is(tmp_path: Path) -> None:
    module, spec = encoder(tmp_path)
    importance = [Importance(torch.ones(48), torch.ones(4), value) for value in (4.0, 1.0, 2.0, 3.0)]
    made, told, shape = prune((module, spec), EXAMPLE, Wish(0.6, structures=("layers",)), importance, level=False)
    assert shape.layers == (0, 3)
    assert told.options["config"]["num_hidden_layers"] == 2
    assert torch.equal(outputs(made), outputs(smaller(module, spec, Sizes(layers=[0, 3]))[0]))


def test_layers_of_unlike_widths_can_be_saved_and_loaded(tmp_path: Path) -> None:
    module, spec = encoder(tmp_path)
    wish = Wish(0.5, of="parameters", round_to=8, equal_shares=False)
    made, told, shape = prune((module, spec), EXAMPLE, wish, by_magnitude(module), level=True)
    assert parameters(made) <= 0.5 * parameters(module)
    assert len(set(shape.neurons)) > 1
    assert all(count % 8 == 0 for count in shape.neurons)
    assert told.options["config"]["intermediate_size"] == max(shape.neurons)
    loaded, _ = loading.load(loading.save(made, told, tmp_path / "pruned.safetensors"))
    torch.testing.assert_close(outputs(loaded), outputs(made))


def losses(module: nn.Module, texts: int) -> Any:
    """Of one text after another: something whose gradient is not the same for all."""
    for text in range(texts):
        yield (module(EXAMPLE[0] + text, EXAMPLE[1]) * torch.linspace(-1, 1, 32)).sum()


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "mpnet"])
def test_importance_by_taylor_is_the_sum_of_weight_times_gradient(tmp_path: Path, name: str) -> None:
    module, _ = encoder(tmp_path, name)
    found = by_taylor(module, losses(module, 2))
    parts = Parts(module)
    neurons, heads = torch.zeros(4, 48), torch.zeros(4, 4)
    for loss in losses(module, 2):
        module.zero_grad()
        loss.backward()
        for layer in parts.numbers:
            down, mixed = parts.linear(layer, parts.known.down), parts.linear(layer, parts.known.mixed)
            neurons[layer] += (down.weight * down.weight.grad).sum(0).detach().abs()
            heads[layer] += (mixed.weight * mixed.weight.grad).view(32, 4, 8).sum((0, 2)).detach().abs()
    for layer, each in enumerate(found):
        torch.testing.assert_close(each.neurons, neurons[layer], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(each.heads, heads[layer], rtol=1e-3, atol=1e-4)
        assert each.layer > 0


def test_heads_that_share_a_bias_and_layers_of_a_model_of_ones_own_stay(tmp_path: Path) -> None:
    module, spec = encoder(tmp_path, "mpnet")
    with pytest.raises(BadInputError, match="share one bias for each head"):
        prune((module, spec), EXAMPLE, Wish(0.5), by_magnitude(module), level=True)
    module, spec = encoder(tmp_path)
    own = ModelSpec("mine:encoder", spec.options)
    with pytest.raises(BadInputError, match="found structures with layers and the model mine:encoder"):
        prune((module, own), EXAMPLE, Wish(0.5, structures=("layers",)), by_magnitude(module), level=True)
