"""The linear layer behind an encoder of its own, fitted to a teacher's vectors before any training."""

from __future__ import annotations

from pathlib import Path

import pytest
import tinybert
import torch

from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.encoder_source import from_folder
from edgekd.models.heads import fitted_head, pca_head, with_head

IDS = torch.tensor([[2, 7, 8, 9, 3]])
MASK = torch.ones_like(IDS)


def vectors(noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A student's of width 6, and a teacher's of width 10 that are a linear map of them but for ``noise``."""
    generator = torch.Generator().manual_seed(0)
    own, mixed = torch.randn(400, 6, generator=generator), torch.randn(6, 10, generator=generator)
    return own, own @ mixed + noise * torch.randn(400, 10, generator=generator)


@pytest.mark.parametrize("width", [3, 10])
def test_a_fitted_head_gives_the_teachers_main_directions_or_its_own_coordinates(width: int) -> None:
    own, teacher = vectors()
    head, left = fitted_head(own, teacher, width)
    wanted = teacher if width == 10 else teacher @ pca_head(teacher, width).T
    torch.testing.assert_close(own @ head.T, wanted, rtol=0, atol=5e-3)
    assert left < 1e-6


def test_what_no_linear_layer_can_give_is_told() -> None:
    own, teacher = vectors(noise=1.0)
    head, left = fitted_head(own, teacher, 10)
    best = torch.linalg.lstsq(own, teacher).solution.T
    torch.testing.assert_close(head, best, rtol=1e-3, atol=1e-3)
    assert left == pytest.approx(float((teacher - own @ best.T).square().sum() / teacher.square().sum()), rel=1e-3)
    with pytest.raises(BadInputError, match="width: found 11, expected 1 to 10"):
        fitted_head(own, teacher, 11)


def test_a_head_comes_before_the_normalization_and_is_kept(tmp_path: Path) -> None:
    module, spec, _ = from_folder(tinybert.save_sentence_model(tmp_path / "encoder", dense=12))
    head = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))
    made, made_spec = with_head(module, spec, head)
    again, _ = loading.load(loading.save(made, made_spec, tmp_path / "made.safetensors"))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(module(IDS, MASK) @ head.T, dim=1)
        torch.testing.assert_close(made(IDS, MASK), expected)
        torch.testing.assert_close(again.eval()(IDS, MASK), expected)


def test_a_classifier_has_no_head(tmp_path: Path) -> None:
    module, spec, _ = from_folder(tinybert.save_model(tmp_path / "classifier", labels=2))
    with pytest.raises(BadInputError, match="output_width: found 5 for a classifier, expected none"):
        with_head(module, spec, torch.zeros(5, 2))
