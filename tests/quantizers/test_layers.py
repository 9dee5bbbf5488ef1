"""Layers in both formats: which are equalized, and what that and corrected biases give in INT8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgekd.algorithms.ranges import min_max
from edgekd.artifact import Artifact, Kind
from edgekd.models import quiet
from edgekd.quantizers import onnx_static, tflite_static
from edgekd.quantizers.layers import File, correct_biases, equalize
from edgekd.quantizers.onnx_layers import OnnxLayers
from edgekd.quantizers.tflite_editing import Editor
from edgekd.quantizers.tflite_layers import TfliteLayers
from edgekd.runtimes import onnxruntime, tflite
from edgekd.stages import STAGES, export_onnx, export_tflite
from edgekd.stages.base import Context
from edgekd.tasks import TaskData

pytest.importorskip("litert_torch")
ROWS, SIZE = 32, 12
LOUD = torch.logspace(-1, 1, 16)  # of a layer's channels


class Uneven(nn.Module):
    """Convolutions whose channels are a hundred times apart: two pairs with ReLU or nothing between, one with ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16))
        self.narrow = nn.Sequential(nn.Conv2d(16, 8, 1), nn.ReLU6())
        self.last = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.classifier = nn.Linear(8, 4)
        with torch.no_grad():
            self.first[1].weight *= LOUD
            self.depthwise[0].weight /= LOUD[:, None, None, None]
            self.depthwise[1].weight *= LOUD.flip(0)
            self.narrow[0].weight /= LOUD.flip(0)[:, None, None]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = self.last(self.narrow(self.depthwise(self.first(images))))
        return self.classifier(values.mean((2, 3)))  # type: ignore[no-any-return]


def images(count: int = ROWS) -> dict[str, np.ndarray]:
    return {"images": np.random.default_rng(0).normal(0.3, 1, (count, 3, SIZE, SIZE)).astype(np.float32)}


@dataclass(frozen=True)
class Format:
    """One format's float file, and what is done with it."""

    source: Path
    layers: Callable[[Path], File]
    run: Callable[[Path], np.ndarray]
    quantized: Callable[[Path, Path], Path]  # by the ranges of its own tensors, one scale for all weights of a layer


def onnx_format(folder: Path) -> Format:
    def quantized(source: Path, target: Path) -> Path:
        ranges = {name: min_max(each) for name, each in onnx_static.observe(source, images()).items()}
        onnx_static.quantize(source, target, ranges, isa="x86-vnni", per_channel=False)
        return target

    export_onnx._export(Uneven().eval(), images(1), "scores", folder / "float.onnx")
    onnx_static.prepare(folder / "float.onnx", folder / "prepared.onnx")
    return Format(
        folder / "prepared.onnx", OnnxLayers, lambda path: onnxruntime.Runner(path, 1).run([images()]), quantized
    )


def tflite_format(folder: Path) -> Format:
    def quantized(source: Path, target: Path) -> Path:
        ranges = {name: min_max(each) for name, each in tflite_static.observe(source, images()).items()}
        with quiet.frameworks(), quiet.native_stderr():
            tflite_static.quantize(source, target, ranges, per_channel=False)
        return target

    export_tflite._export(Uneven().eval(), images(1), folder / "float.tflite")
    return Format(folder / "float.tflite", TfliteLayers, lambda path: tflite.Runner(path, 1).run([images()]), quantized)


@pytest.fixture(scope="module", params=[onnx_format, tflite_format])
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Format:
    with quiet.frameworks(), quiet.native_stderr():
        made: Format = request.param(tmp_path_factory.mktemp("layers"))
    return made


def test_the_exporters_fold_batch_norms(form: Format) -> None:
    if form.source.suffix == ".onnx":
        kinds = {node.op_type for node in onnx.load(form.source.with_name("float.onnx")).graph.node}
    else:
        editor = Editor.open(form.source)
        kinds = {editor.kind(each) for each in editor.operators}
    assert not kinds & {"BatchNormalization", "MUL", "ADD", "Mul", "Add", "SUB", "RSQRT"}


def test_pairs_are_those_without_an_activation_that_stops_a_factor(form: Format) -> None:
    file = form.layers(form.source)
    first, depthwise, narrow, last, *_ = file.layers
    found = file.neighbours()
    assert list(found.pairs) == [(first, depthwise), (depthwise, narrow)]
    assert found.left["Clip" if form.source.suffix == ".onnx" else "RELU6"] == [narrow]
    assert [last] in found.left.values()


def test_equalizing_changes_nothing_in_float_and_much_in_int8(form: Format, tmp_path: Path) -> None:
    file, even = form.layers(form.source), tmp_path / f"even{form.source.suffix}"
    equalize(file)
    file.save(even)
    exact = form.run(form.source)
    assert np.abs(form.run(even) - exact).max() < 1e-5 * np.abs(exact).max()
    plain, better = (form.quantized(each, tmp_path / f"{each.stem}-int8{each.suffix}") for each in (form.source, even))
    assert np.square(form.run(better) - exact).mean() < 0.2 * np.square(form.run(plain) - exact).mean()


def test_corrected_biases_take_the_mean_error_away(form: Format, tmp_path: Path) -> None:
    file, changed = form.layers(form.source), tmp_path / f"changed{form.source.suffix}"
    plain = form.quantized(form.source, tmp_path / f"plain{form.source.suffix}")
    correct_biases(file, file.rounded(plain), file.mean_inputs(images()))
    file.save(changed)
    exact = form.run(form.source)
    before, after = (
        np.abs((form.run(each) - exact).mean(0)).max()
        for each in (plain, form.quantized(changed, tmp_path / f"int8{changed.suffix}"))
    )
    assert after < 0.75 * before


@pytest.mark.parametrize("wanted", ["auto", True])
def test_biases_are_corrected_on_top_of_what_was_equalized(wanted: Any, form: Format, tmp_path: Path) -> None:
    name = form.source.suffix[1:]
    rows = {f"{part}/images": images()["images"] for part in ("calibration", "held_out", "representative")}
    np.savez(tmp_path / "rows.npz", **{**rows, "representative/images": rows["held_out/images"][:1]})
    kinds = {Kind(name): form.source.with_name(f"float.{name}"), Kind.CALIBRATION: tmp_path / "rows.npz"}
    inputs = tuple(
        Artifact(key="", kind=kind, path=path, sha256="", size_bytes=1, made_by="a test", inputs=())
        for kind, path in kinds.items()
    )
    stage = STAGES[f"quantize_{name}"]
    config = stage.Config(
        method="min-max", granularity="per-tensor", equalize=wanted, isa="x86-vnni", machine="here", max_drop=0.5
    )
    context = Context(tmp_path, tmp_path, cast("TaskData", None), 0, 1, lambda *_: None)
    facts = stage.run(inputs, config, context).facts
    even, corrected = "min-max, equalized", "min-max, equalized, bias corrected"
    plain = {"min-max"} if wanted == "auto" else set()
    assert facts["candidates"].keys() == plain | {even, corrected}
    assert facts["steps"] == ({even: "min-max"} if plain else {}) | {corrected: even}
    assert facts["equalization"]["pairs"] == 2
    assert all(facts["candidates"][each]["cosine"] < facts["candidates"][even]["cosine"] for each in plain)
