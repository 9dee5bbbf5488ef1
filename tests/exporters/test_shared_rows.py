"""An encoder whose tokens share rows: in both formats it takes the whole vocabulary's ids, and its table is INT8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tinybert
import torch

from edgekd.exporters import text_onnx, text_tflite
from edgekd.models import quiet
from edgekd.models.encoder_source import from_folder
from edgekd.models.smaller import Sizes, smaller
from edgekd.quantizers import onnx_dynamic, onnx_outliers, tflite_dynamic, tflite_outliers
from edgekd.runtimes import onnxruntime, tflite
from edgekd.runtimes.tflite_graph import describe

LENGTH, MERGED = 20, 2


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[dict[str, np.ndarray]]]:
    teacher, spec, tokenizer = from_folder(tinybert.save_model(tmp_path_factory.mktemp("teacher")))
    encoded = tokenizer.encode(tinybert.TEXTS[:8])
    table = len(tokenizer.vocabulary)
    occurring = np.unique(encoded.ids)[-MERGED:]
    module, made = smaller(teacher, spec, Sizes(used=np.setdiff1d(np.arange(table), occurring)))
    assert made.options["rows"] == table - MERGED
    return module, [encoded.batch([row], LENGTH) for row in range(len(encoded))]


def close(made: np.ndarray, student: tuple[Any, list[dict[str, np.ndarray]]]) -> float:
    """The least cosine to what torch gives."""
    module, rows = student
    with torch.no_grad():
        wanted = np.concatenate([module(*(torch.from_numpy(each) for each in row.values())) for row in rows])
    return float((made * wanted).sum(1).min())


def test_onnx(student: tuple[Any, list[dict[str, np.ndarray]]], tmp_path: Path) -> None:
    plain, smooth, int8 = (tmp_path / f"{name}.onnx" for name in ("float", "smooth", "int8"))
    with quiet.frameworks():
        text_onnx.export(student[0], plain, "embedding")
        stacked = {name: np.concatenate([row[name] for row in student[1]]) for name in student[1][0]}
        onnx_outliers.smooth(plain, smooth, stacked)
        onnx_dynamic.quantize(smooth, int8, "x86-vnni")
    assert close(onnxruntime.Runner(plain, 1).run(student[1]), student) > 1 - 1e-6
    assert close(onnxruntime.Runner(int8, 1).run(student[1]), student) > 0.99
    tables = {tuple(each.dims): each.data_type for each in onnx.load(int8).graph.initializer}
    assert tables[student[0].backbone.get_input_embeddings().weight.shape] == onnx.TensorProto.INT8


def test_tflite(student: tuple[Any, list[dict[str, np.ndarray]]], tmp_path: Path) -> None:
    pytest.importorskip("litert_torch")
    plain, smooth, int8 = (tmp_path / f"{name}.tflite" for name in ("float", "smooth", "int8"))
    with quiet.frameworks(), quiet.native_stderr():
        text_tflite.export(student[0], plain, LENGTH)
        stacked = {name: np.concatenate([row[name] for row in student[1]]) for name in student[1][0]}
        tflite_outliers.smooth(plain, smooth, stacked)
        tflite_dynamic.quantize(smooth, int8, "dynamic")
    assert close(tflite.Runner(plain, 1).run(student[1]), student) > 1 - 1e-5
    assert close(tflite.Runner(int8, 1).run(student[1]), student) > 0.99
    assert describe(int8).weight_bytes < 0.5 * describe(plain).weight_bytes
