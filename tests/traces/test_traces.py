"""Where two versions of a network part: one weight in the middle of a real file is changed, and its operator found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tinytransformer import LAYERS, TinyTransformer, text, write_onnx

from edgekd.artifact import Kind
from edgekd.models import quiet
from edgekd.quantizers import onnx_editing, tflite_editing
from edgekd.traces import Trace, kept, torch_module, trace

ROWS = [text(5 + more, more, 7 - more) for more in range(3)]  # padded to 12 tokens
PART = f"layers.{LAYERS - 1}.up"


def of_file(path: Path, kind: Kind) -> Trace:
    return trace(kind, path, ROWS)


def of_module(module: torch.nn.Module) -> Trace:
    return kept(*torch_module.record(module, ROWS))


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx(tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.fixture(scope="module")
def tflite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("litert_torch")
    from edgekd.exporters import text_tflite

    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    with quiet.frameworks(), quiet.native_stderr():
        text_tflite.export(TinyTransformer().eval(), path, 12)
    return path


@pytest.fixture(scope="module")
def whole(onnx_file: Path, tflite_file: Path) -> dict[str, Trace]:
    """The three versions as they were exported."""
    return {
        "torch": of_module(TinyTransformer()),
        "onnx": of_file(onnx_file, Kind.ONNX),
        "tflite": of_file(tflite_file, Kind.TFLITE),
    }


@pytest.mark.parametrize("first", ["torch", "onnx", "tflite"])
@pytest.mark.parametrize("second", ["torch", "onnx", "tflite"])
def test_versions_of_one_network_never_part(first: str, second: str, whole: dict[str, Trace]) -> None:
    assert whole[first].parting(whole[second]) is None


def test_a_changed_weight_of_an_onnx_file_is_found(onnx_file: Path, whole: dict[str, Trace], tmp_path: Path) -> None:
    editor = onnx_editing.Editor.open(onnx_file)
    products = [each for each in editor.of_type("MatMul", "Gemm") if each.input[1] in editor.constants]
    damaged = products[-2]
    values = editor.constant(damaged.input[1]).copy()
    values.flat[values.size // 2] += 1
    editor.put(damaged.input[1], values)
    editor.save(tmp_path / "damaged.onnx")
    broken = of_file(tmp_path / "damaged.onnx", Kind.ONNX)
    for name in ("torch", "tflite"):
        found = broken.parting(whole[name])
        assert found is not None
        assert (found.kind, found.name) == (damaged.op_type, damaged.name)
    other = whole["torch"].parting(broken)
    assert other is not None
    assert other.name == f"{PART}.linear"


def test_a_changed_weight_of_a_tflite_file_is_found(tflite_file: Path, whole: dict[str, Trace], tmp_path: Path) -> None:
    editor = tflite_editing.Editor.open(tflite_file)
    damaged = [each for each in editor.of_kind("FULLY_CONNECTED") if editor.constant(each.inputs[1]) is not None][-2]
    values = editor.constant(damaged.inputs[1])
    assert values is not None
    changed = values.copy()
    changed.flat[changed.size // 2] += 1
    editor.change(damaged, 1, changed)
    (tmp_path / "damaged.tflite").write_bytes(editor.packed())
    broken = of_file(tmp_path / "damaged.tflite", Kind.TFLITE)
    for name in ("torch", "onnx"):
        found = broken.parting(whole[name])
        assert found is not None
        assert (found.kind, found.name) == ("FULLY_CONNECTED", editor.name(damaged.outputs[0]))


def test_a_changed_weight_of_a_module_is_found(whole: dict[str, Trace]) -> None:
    module = TinyTransformer()
    with torch.no_grad():
        module.get_submodule(PART).weight[3, 3] += 1
    broken = of_module(module)
    for name in ("onnx", "tflite"):
        found = broken.parting(whole[name])
        assert found is not None
        assert found.name == f"{PART}.linear"


def test_what_is_changed_in_place_is_seen_before_and_after() -> None:
    class InPlace(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            doubled = values * 2
            torch.relu_(doubled)
            return doubled.sum(1)

    found = kept(*torch_module.record(InPlace(), [{"values": np.array([[-1.0, 2.0]], np.float32)}]))
    assert [each.kind for each in found.operations] == ["mul", "relu_", "sum"]
    before, after, _ = (found.points[each.writes[0]] for each in found.operations)
    assert (before.min(), after.min()) == (-2.0, 0.0)
