"""Weight-only INT8 for onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgekd.models import quiet
from edgekd.quantizers.onnx_weights import quantize


class Net(nn.Module):
    """A convolution, a product with a bias, one without, and a table."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(12, 16, 7)
        self.dense = nn.Linear(16, 80)
        self.mixed = nn.Parameter(torch.randn(80, 24))
        self.table = nn.Embedding(90, 12)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.dense(self.conv(self.table(ids).transpose(1, 2)).mean(2)) @ self.mixed


IDS = np.random.default_rng(0).integers(0, 90, (1, 20))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "float.onnx"
    torch.manual_seed(0)
    with quiet.frameworks():
        torch.onnx.export(Net().eval(), (torch.from_numpy(IDS),), dynamo=True).save(path)  # type: ignore[union-attr]
    return path


def run(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: IDS})[0])


def whole(path: Path) -> dict[str, np.ndarray]:
    found = {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    return {name: values for name, values in found.items() if values.dtype == np.int8}


def test_all_weights_are_whole_numbers_and_the_outputs_stay_close(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "int8.onnx")
    assert sorted(values.size for values in whole(tmp_path / "int8.onnx").values()) == [1080, 1280, 1344, 1920]
    assert (tmp_path / "int8.onnx").stat().st_size < 0.5 * source.stat().st_size
    exact, made = run(source), run(tmp_path / "int8.onnx")
    assert 0 < np.abs(made - exact).max() < 0.02 * np.abs(exact).max()


def test_one_step_for_all_is_coarser_than_one_for_each_channel(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "channels.onnx")
    quantize(source, tmp_path / "whole.onnx", per_channel=False)
    exact = run(source)
    fine, coarse = (np.abs(run(tmp_path / f"{name}.onnx") - exact).mean() for name in ("channels", "whole"))
    assert fine < coarse


def test_named_operators_keep_float_weights(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "int8.onnx", ["Conv", "Gather"])
    assert sorted(values.size for values in whole(tmp_path / "int8.onnx").values()) == [1280, 1920]
