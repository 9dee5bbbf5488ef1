"""INT8 files of a tiny encoder: they run, are small, and are as close to float as they can be."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from tinytransformer import LAYERS, text, texts

from edgekd.artifact import Artifact, Kind
from edgekd.profile.measurement import Interval
from edgekd.quantizers import onnx_dynamic
from edgekd.quantizers.onnx_outliers import smooth
from edgekd.stages import quantize_onnx
from edgekd.stages.base import Context
from edgekd.tasks import TaskData


def vectors(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, text(6 + seed, seed))[0] for seed in range(20)])


def away(path: Path, reference: np.ndarray) -> float:
    """Mean of 1 - cosine."""
    return float(1 - (vectors(path) * reference).sum(1).mean())


@pytest.fixture(scope="module")
def reference(encoder: Path) -> np.ndarray:
    return vectors(encoder)


@pytest.fixture(scope="module")
def smoothed(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smoothed") / "smoothed.onnx"
    smooth(encoder, path, texts())
    return path


@pytest.fixture(scope="module")
def int8(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    onnx_dynamic.quantize(encoder, path, "x86-vnni")
    return path


def test_all_products_with_weights_and_all_tables_are_int8(int8: Path) -> None:
    model = onnx.load(int8)
    assert sum(node.op_type == "MatMulInteger" for node in model.graph.node) == 6 * LAYERS
    wide = [each for each in model.graph.initializer if len(each.dims) == 2 and each.dims[1] > 1]
    assert len(wide) == 6 * LAYERS + 2
    assert {each.data_type for each in wide} == {onnx.TensorProto.INT8}


def test_the_file_is_smaller_and_close(encoder: Path, int8: Path, reference: np.ndarray) -> None:
    assert int8.stat().st_size < 0.45 * encoder.stat().st_size
    assert away(int8, reference) < 5e-3


def test_nothing_else_is_left_in_the_folder(int8: Path) -> None:
    assert [each.name for each in int8.parent.iterdir()] == ["int8.onnx"]


def test_without_vnni_weights_keep_to_seven_bits(encoder: Path, int8: Path, tmp_path: Path) -> None:
    onnx_dynamic.quantize(encoder, tmp_path / "x86.onnx", "x86")
    assert largest(tmp_path / "x86.onnx") <= 64
    assert largest(int8) == 127


def largest(path: Path) -> int:
    weights = {node.input[1] for node in onnx.load(path).graph.node if node.op_type == "MatMulInteger"}
    arrays = [numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer if each.name in weights]
    return max(int(np.abs(each.astype(np.int64)).max()) for each in arrays)


def test_smoothing_changes_nothing_in_float(smoothed: Path, reference: np.ndarray) -> None:
    assert np.abs(vectors(smoothed) - reference).max() < 2e-5


def test_smoothing_keeps_more_in_int8(smoothed: Path, int8: Path, tmp_path: Path, reference: np.ndarray) -> None:
    onnx_dynamic.quantize(smoothed, tmp_path / "int8.onnx", "x86-vnni")
    assert away(tmp_path / "int8.onnx", reference) < 0.5 * away(int8, reference)


def test_outliers_are_where_they_were_planted(smoothed: Path) -> None:
    weights = {each.name: list(each.dims) for each in onnx.load(smoothed).graph.initializer}
    wider = [shape for shape in weights.values() if shape in ([32, 194], [194, 32])]
    assert len(wider) == 2 * LAYERS  # two more of 192 neurons in each layer


def test_without_outliers_nothing_is_done(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.quantizers.onnx_outliers.LEAST", 1e6)
    smooth(encoder, tmp_path / "same.onnx", texts(2))
    assert len(onnx.load(tmp_path / "same.onnx").graph.node) == len(onnx.load(encoder).graph.node)


def given(kind: Kind, path: Path) -> Artifact:
    return Artifact(key="", kind=kind, path=path, sha256="", size_bytes=1, made_by="a test", inputs=())


@pytest.mark.parametrize("times", [1.1, 0.9])
def test_the_graph_is_fused_where_that_is_faster(
    times: float, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is timed; how that comes out depends on the machine."""
    monkeypatch.setattr(quantize_onnx, "speed_up", lambda *_: Interval(times, 0, 2))
    parts = {"calibration": texts(), "held_out": texts(4), "representative": text(9)}
    rows = {f"{part}/{name}": values for part, arrays in parts.items() for name, values in arrays.items()}
    np.savez(tmp_path / "rows.npz", **rows)
    inputs = (given(Kind.ONNX, encoder), given(Kind.CALIBRATION, tmp_path / "rows.npz"))
    context = Context(tmp_path, tmp_path, cast("TaskData", None), 0, 1, lambda *_: None)
    config = quantize_onnx.Config(mode="dynamic", method="dynamic", isa="x86-vnni", machine="here")
    made = quantize_onnx.run(inputs, config, context)
    assert made.facts["fusion"]["point"] == times
    assert any(node.op_type == "MultiHeadAttention" for node in onnx.load(made.path).graph.node) == (times > 1)
