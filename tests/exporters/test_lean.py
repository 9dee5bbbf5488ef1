from pathlib import Path

import pytest
import tinybert
import torch
from torch import nn

from edgekd.exporters.lean import lean
from edgekd.models.encoder_source import from_folder

SCALED = ("bert", "roberta", "distilbert")  # MPNet adds a position bias to the scaled products


@pytest.mark.parametrize("name", [*SCALED, "mpnet"])
def test_a_lean_module_gives_the_same(tmp_path: Path, name: str) -> None:
    module, _, _ = from_folder(tinybert.save_model(tmp_path / name, name))
    made = lean(module)
    ids, mask = torch.tensor([[2, 40, 41, 50, 3]]), torch.tensor([[1, 1, 1, 1, 0]])
    with torch.no_grad():
        assert torch.allclose(made(ids, mask), module(ids, mask), atol=1e-6)


@pytest.mark.parametrize("name", SCALED)
def test_norms_are_replaced_and_queries_scaled_in_a_copy(tmp_path: Path, name: str) -> None:
    module, _, _ = from_folder(tinybert.save_model(tmp_path / name, name))
    made = lean(module)
    assert not any(isinstance(part, nn.LayerNorm) for part in made.modules())
    factors = [part.scaling for part in made.modules() if hasattr(part, "scaling")]
    assert factors == [1.0] * 4
    assert any(isinstance(part, nn.LayerNorm) for part in module.modules())
    assert 1.0 not in [part.scaling for part in module.modules() if hasattr(part, "scaling")]
