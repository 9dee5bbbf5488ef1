"""Quantization-aware distillation: what it saves, and that both files have the ranges that it learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tinynet
import torch
from onnx import numpy_helper
from safetensors.torch import load_file

from edgekd.artifact import Artifact, Kind
from edgekd.data.sources import DataConfig
from edgekd.errors import StageError
from edgekd.models import loading
from edgekd.models.loading import ModelSpec
from edgekd.quantizers import onnx_static, tflite_static
from edgekd.runtimes import for_file
from edgekd.stages import STAGES, calibration, learned_ranges, qat
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks import TaskData

FORMS = ("onnx", "tflite")
EXTREME = 1000.0  # times as large as its neighbours is what one channel gives
Run = Callable[..., Artifact]


def as_artifact(product: Product, kind: Kind) -> Artifact:
    return Artifact(
        key="k", kind=kind, path=product.path, sha256="", size_bytes=1, made_by="", inputs=(), facts=product.facts
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    data = TaskData("image-classification", DataConfig(use="tiny:data", selection=30))
    folder = tmp_path_factory.mktemp("qat")
    return Context(folder, folder / "partial", data, 5, 1, lambda *_: None)


@pytest.fixture(scope="module")
def run(context: Context) -> Run:
    """Run a stage in a folder of its own."""

    def made(stage: str, *inputs: Artifact, name: str = "", **options: Any) -> Artifact:
        scratch = context.scratch / (name or stage)
        scratch.mkdir()
        module = STAGES[stage]
        apart = replace(context, scratch=scratch, partial=scratch / "partial")
        return as_artifact(module.run(inputs, module.Config(**options), apart), module.PRODUCES)

    return made


@pytest.fixture(scope="module")
def extreme(weights: Path, context: Context) -> Artifact:
    """The trained teacher, the same in float; of what its second convolution reads, one step of INT8 hides most."""
    network = tinynet.teacher()
    network.load_state_dict(load_file(weights))
    with torch.no_grad():
        norm, reader = network.features[0][1], network.features[1][0]
        norm.weight[1:] /= EXTREME
        norm.bias[1:] /= EXTREME
        reader.weight[:, 1:] *= EXTREME
    path = loading.save(network, ModelSpec("tinynet:teacher"), context.scratch / "extreme.safetensors")
    return as_artifact(Product(path), Kind.TORCH)


@pytest.fixture(scope="module")
def frozen(run: Run) -> Artifact:
    return run("calibration", samples=60)


@pytest.fixture(scope="module")
def outputs(extreme: Artifact, run: Run) -> Artifact:
    return run("teacher_outputs", extreme, precision="float32")


@pytest.fixture(scope="module")
def trained(extreme: Artifact, outputs: Artifact, run: Run) -> Artifact:
    return run("qat", extreme, outputs, epochs=6, batch_size=30, optimizer="adamw", learning_rate=1e-3, weight_decay=0)


@pytest.fixture(scope="module")
def ranges(trained: Artifact, frozen: Artifact, run: Run) -> Artifact:
    return run("learned_ranges", trained, frozen)


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def exported(form: str, trained: Artifact, run: Run) -> Artifact:
    return run(f"export_{form}", trained, name=f"{form} exported")


@pytest.fixture(scope="module")
def shipped(form: str, exported: Artifact, frozen: Artifact, ranges: Artifact, run: Run) -> Artifact:
    return run(f"quantize_{form}", exported, frozen, ranges, name=f"{form} shipped", isa="x86-vnni", machine="here")


def accuracy(file: Artifact, context: Context) -> float:
    split = context.data.set.test
    task = context.task()
    outputs = for_file(file.path).Runner(file.path, 1).run(list(task.each("test")))
    return float((outputs.argmax(1) == split.labels).mean())


def test_no_ranges_that_are_found_afterwards_are_good_enough(
    extreme: Artifact, frozen: Artifact, run: Run, context: Context
) -> None:
    before = run("export_onnx", extreme, name="extreme")
    options = {"mode": "static", "max_drop": 1.0, "isa": "x86-vnni", "machine": "here"}
    best = run("quantize_onnx", before, frozen, name="afterwards", **options)
    assert accuracy(before, context) > 0.95
    assert accuracy(best, context) < 0.5
    assert all(each["drop"]["point"] > 0.3 for each in best.facts["candidates"].values())


def test_training_for_the_ranges_gains_it_back(shipped: Artifact, context: Context) -> None:
    assert accuracy(shipped, context) > 0.95


def test_its_ranges_are_the_candidate_and_all_of_them_are_exported(trained: Artifact, shipped: Artifact) -> None:
    assert list(shipped.facts["candidates"]) == ["learned"]
    count = shipped.facts["learned"]["ranges"]
    assert count == trained.facts["ranges"] == len(loading.learned_ranges(trained.path)) == 5
    assert shipped.facts["learned"]["exported"] == count
    assert shipped.facts["learned"]["tensors"] >= count


def steps_of_onnx(path: Path) -> dict[str, tuple[float, int]]:
    """Scale and zero point of each tensor that is quantized, by its name in the float file, levels from 0 on."""
    graph = onnx.load(path).graph
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    return {
        node.input[0].removesuffix("_QuantizeLinear_Input"): tuple(values[name].item() for name in node.input[1:])
        for node in nodes
    }


def steps_of_tflite(path: Path) -> dict[str, tuple[float, int]]:
    found = tflite_static._scales(tflite_static.read(path))
    return {name: (scale, zero + 128) for name, (_, scale, zero) in found.items() if scale}


def test_every_tensor_whose_range_was_learned_has_just_that_range(
    form: str, exported: Artifact, shipped: Artifact, frozen: Artifact, ranges: Artifact, tmp_path: Path
) -> None:
    rows, source = calibration.part(frozen, "calibration"), exported.path
    if form == "onnx":
        source = tmp_path / "prepared.onnx"
        onnx_static.prepare(exported.path, source)
        values, steps = onnx_static.quantizable, steps_of_onnx(shipped.path)
    else:
        values, steps = tflite_static.tensors, steps_of_tflite(shipped.path)
    found, _ = learned_ranges.found((ranges,), rows, lambda row: values(source, row))
    written = {name: steps[name] for name in found if name in steps}
    assert len(written) >= 4  # what the first operator reads and the last one gives may be called otherwise in INT8
    for name, (scale, zero) in written.items():
        low, high = found[name]
        assert scale == pytest.approx((high - low) / 255, rel=1e-6)
        assert zero == round(-low / scale)
    assert len({scale for scale, _ in written.values()}) >= 4


def test_the_file_computes_what_was_simulated(shipped: Artifact, trained: Artifact, frozen: Artifact) -> None:
    from edgekd.models.running import tensors
    from edgekd.models.simulation import Simulation

    module, _ = loading.load(trained.path)
    rows = calibration.part(frozen, "calibration")
    given = tensors(rows)
    simulation = Simulation(module, [given[0][:2]])
    simulation.begin(iter([given]))
    simulation.start.copy_(torch.tensor(loading.learned_ranges(trained.path)))
    with torch.inference_mode():
        expected = module(*given).numpy()
    first = {name: each[:1] for name, each in rows.items()}
    outputs = for_file(shipped.path).Runner(shipped.path, 1).run([first])
    step = (loading.learned_ranges(trained.path)[-1][1] - loading.learned_ranges(trained.path)[-1][0]) / 255
    assert np.abs(outputs[0] - expected[0]).max() <= 3 * step


def test_a_file_in_which_no_learned_range_is_found_is_refused(ranges: Artifact, frozen: Artifact) -> None:
    rows = calibration.part(frozen, "calibration")
    with pytest.raises(StageError, match="found none of the 5 tensors whose ranges were learned in the exported file"):
        learned_ranges.found((ranges, ranges), rows, lambda _row: iter([{"x": np.full(3, 1e6)}]))


def test_other_methods_stand_beside_the_learned_ranges_only_where_one_is_named(
    form: str, exported: Artifact, frozen: Artifact, ranges: Artifact, run: Run
) -> None:
    named = run(
        f"quantize_{form}", exported, frozen, ranges, name=f"{form} named", method="mse", isa="x86", machine="here"
    )
    assert list(named.facts["candidates"]) == ["mse"]


def test_an_interrupted_training_goes_on_to_the_same_weights_and_ranges(
    extreme: Artifact, outputs: Artifact, run: Run, context: Context
) -> None:
    def interrupt(done: int, total: int, _text: str) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    options = {"epochs": 2, "batch_size": 30}
    whole = run("qat", extreme, outputs, name="whole", **options)
    (context.scratch / "halves").mkdir()
    broken = replace(context, scratch=context.scratch / "halves", progressed=interrupt)
    with pytest.raises(KeyboardInterrupt):
        qat.run((extreme, outputs), qat.Config(**options), broken)
    assert torch.load(broken.partial / "checkpoint.pt", weights_only=True)["model"]["simulation.ends"].any()
    made = qat.run((extreme, outputs), qat.Config(**options), replace(broken, progressed=lambda *_: None))
    assert made.path.read_bytes() == whole.path.read_bytes()


def test_a_file_without_learned_ranges_is_as_it_always_was(extreme: Artifact, frozen: Artifact, run: Run) -> None:
    assert loading.learned_ranges(extreme.path) == []
    empty = run("learned_ranges", extreme, frozen, name="empty")
    assert learned_ranges.found((extreme, empty), {}, lambda _row: iter(())) == ({}, {})
