"""Teachers of any kind behind one interface: files that no exporter of ours made, and several teachers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny
import tinynet
import torch
from handmade import write_onnx

from edgekd.algorithms.confidence import probabilities
from edgekd.artifact import Artifact, Kind
from edgekd.errors import StageError
from edgekd.models import loading
from edgekd.models.predicting import SOFTMAX, Ensemble, TorchModel, open_model
from edgekd.tasks.base import Arrays, Outputs, Rows, Scored, Split, Task
from edgekd.tasks.image_classification import ImageClassification

TASK = ImageClassification(tiny.data(), 30)
ROWS = np.array([3, 0, 59, 17])


def artifact(path: Path, kind: Kind, **facts: Any) -> Artifact:
    return Artifact(key="", kind=kind, path=path, sha256="", size_bytes=0, made_by="", inputs=(), facts=facts)


@pytest.fixture
def teacher(weights: Path) -> TorchModel:
    module = tinynet.teacher()
    return TorchModel(loading.load_into(module, loading.read_weights(weights, "weights"), "weights").eval())


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_handmade_onnx_file_gives_its_first_output(
    batch: int | str, teacher: TorchModel, weights: Path, tmp_path: Path
) -> None:
    model = open_model(artifact(write_onnx(tmp_path / "t.onnx", weights, batch), Kind.ONNX), 1)
    found = model.outputs(TASK, "test", ROWS)
    assert found.shape == (4, 3)
    assert found == pytest.approx(teacher.outputs(TASK, "test", ROWS), abs=1e-4)
    assert model.covers(TASK, "test")


def test_a_softmax_at_the_end_is_undone(teacher: TorchModel, weights: Path, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "t.onnx", weights, softmax=True)
    chances = open_model(artifact(path, Kind.ONNX), 1).outputs(TASK, "test", ROWS)
    assert chances.sum(1) == pytest.approx(1, abs=1e-6)
    found = open_model(artifact(path, Kind.ONNX, **{SOFTMAX: True}), 1).outputs(TASK, "test", ROWS)
    logits = teacher.outputs(TASK, "test", ROWS)
    centred = logits - logits.mean(1, keepdims=True)
    assert found - found.mean(1, keepdims=True) == pytest.approx(centred, abs=1e-3)
    assert probabilities(found) == pytest.approx(chances, abs=1e-6)


def test_a_file_that_fails_while_it_runs_is_a_failed_stage(weights: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(write_onnx(tmp_path / "t.onnx", weights))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "channels"
    del model.graph.value_info[:]
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"
    onnx.save(model, tmp_path / "t.onnx")
    runner = open_model(artifact(tmp_path / "t.onnx", Kind.ONNX), 1).runner  # type: ignore[attr-defined]
    with pytest.raises(StageError, match=r"t\.onnx: onnxruntime can't run it: "):
        runner.run([{"image": np.zeros((1, 5, 12, 12), np.float32)}])


@dataclass
class Fixed:
    """A teacher whose outputs are known."""

    values: npt.NDArray[Any]

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
        del task, split, view
        return self.values[rows]

    def covers(self, task: Task, split: Split) -> bool:
        del task
        return split != "test"


class Vectors(Task):
    """A task whose models give vectors."""

    metric, outputs = "nothing", Outputs.VECTORS

    def count(self, split: Split) -> int:
        raise NotImplementedError

    def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
        raise NotImplementedError

    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        raise NotImplementedError


def test_logits_of_several_teachers_are_averaged_by_weight() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 60, 3))
    found = Ensemble([Fixed(first), Fixed(second)], (3.0, 1.0)).outputs(TASK, "train", ROWS)
    assert found == pytest.approx(0.75 * first[ROWS] + 0.25 * second[ROWS], abs=1e-6)
    assert found.dtype == np.float32


def cosines(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def test_similarities_of_several_teachers_are_averaged_by_weight_whatever_their_widths() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(60, 5)), 100 * generator.normal(size=(60, 8))
    found = Ensemble([Fixed(first), Fixed(second)], (1.0, 4.0)).outputs(Vectors(), "train", ROWS)
    assert found.shape == (4, 13)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    assert cosines(found) == pytest.approx(0.2 * cosines(first[ROWS]) + 0.8 * cosines(second[ROWS]), abs=1e-6)


def test_several_teachers_cover_what_each_of_them_does(teacher: TorchModel) -> None:
    ensemble = Ensemble([teacher, Fixed(np.zeros((1, 1)))], (1.0, 1.0))
    assert ensemble.covers(TASK, "train")
    assert not ensemble.covers(TASK, "test")


def test_a_torch_module_is_one_of_them(teacher: TorchModel) -> None:
    images = torch.from_numpy(np.asarray(TASK.inputs("test", ROWS)["image"]))
    with torch.inference_mode():
        assert teacher.outputs(TASK, "test", ROWS) == pytest.approx(teacher.module(images).numpy(), abs=1e-5)
