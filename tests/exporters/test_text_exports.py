"""Text models as files: names, lengths and numbers, and the same in TFLite's dynamic INT8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tinytransformer import TinyTransformer, attention, products, text, write_onnx

from edgekd.exporters import text_tflite
from edgekd.models import quiet
from edgekd.quantizers import tflite_dynamic
from edgekd.runtimes import tflite_graph

LENGTH = 12


def expected(fed: dict[str, np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(TinyTransformer().eval()(*(torch.from_numpy(each) for each in fed.values())))


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx(tmp_path_factory.mktemp("onnx") / "model.onnx")


def test_onnx_names_types_and_operator_set(onnx_file: Path) -> None:
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape, each.type) for each in session.get_inputs()] == [
        ("input_ids", [1, "length"], "tensor(int64)"),
        ("attention_mask", [1, "length"], "tensor(int64)"),
    ]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("embedding", [1, 32])]
    assert [(each.domain, each.version) for each in onnx.load(onnx_file).opset_import] == [("", 20)]


@pytest.mark.parametrize(("length", "padding"), [(1, 0), (2, 0), (9, 0), (9, 5)])
def test_onnx_runs_at_any_length(onnx_file: Path, length: int, padding: int) -> None:
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    fed = text(length, padding=padding)
    assert np.abs(session.run(None, fed)[0] - expected(fed)).max() < 2e-6


def test_a_tensor_inside_may_have_the_outputs_name(onnx_file: Path) -> None:
    names = [name for node in onnx.load(onnx_file).graph.node for name in node.output]
    assert "embedding_inside" in names  # the exporter calls the first lookup 'embedding'
    assert names.count("embedding") == 1


@pytest.fixture(scope="module")
def tflite_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pytest.importorskip("litert_torch")
    folder = tmp_path_factory.mktemp("tflite")
    with quiet.frameworks(), quiet.native_stderr():
        text_tflite.export(TinyTransformer().eval(), folder / "float.tflite", LENGTH)
        tflite_dynamic.quantize(folder / "float.tflite", folder / "int8.tflite", "dynamic")
    return folder / "float.tflite", folder / "int8.tflite"


def tflite_vector(path: Path, fed: dict[str, np.ndarray]) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    with quiet.native_stderr():
        run = Interpreter(str(path), num_threads=1).get_signature_runner()
    (vector,) = run(**{name: each.astype(np.int32) for name, each in fed.items()}).values()
    return np.asarray(vector)


def test_tflite_gives_the_same_vector_padded(tflite_files: tuple[Path, Path]) -> None:
    fed = text(7, padding=LENGTH - 7)
    assert np.abs(tflite_vector(tflite_files[0], fed) - expected(fed)).max() < 5e-6
    assert np.abs(expected(fed) - expected(text(7))).max() < 5e-6


def test_tflite_int8_is_close_and_smaller(tflite_files: tuple[Path, Path]) -> None:
    fed = text(7, padding=LENGTH - 7)
    assert float((tflite_vector(tflite_files[1], fed) * expected(fed)).sum()) > 0.999
    assert tflite_files[1].stat().st_size < 0.6 * tflite_files[0].stat().st_size


def test_tflite_inputs_and_work(tflite_files: tuple[Path, Path]) -> None:
    plain, int8 = (tflite_graph.describe(path) for path in tflite_files)
    assert [(each.shape, each.dtype) for each in plain.inputs] == [((1, LENGTH), "int32")] * 2
    assert plain.macs == int8.macs == products(LENGTH) + attention(LENGTH)
    assert plain.int8_share == 0
    assert int8.int8_share == pytest.approx(products(LENGTH) / int8.macs)
    assert int8.weight_bytes < 0.5 * plain.weight_bytes
