"""A teacher's file that no exporter of ours made: what it gives, and a softmax at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny
import tinynet
from handmade import write_onnx, write_table

from edgekd.algorithms.confidence import probabilities
from edgekd.artifact import Artifact, Kind
from edgekd.errors import StageError
from edgekd.models import loading
from edgekd.models.outputs_table import OutputsTable, convert
from edgekd.models.predicting import SOFTMAX, Ensemble, TorchModel, open_model
from edgekd.tasks.base import Outputs
from edgekd.tasks.image_classification import ImageClassification

TASK = ImageClassification(tiny.data(), 30)
ROWS = np.array([3, 0, 59, 17])


def opened(path: Path, **facts: Any) -> Any:
    kind = Kind.ONNX
    return open_model(
        Artifact(key="", kind=kind, path=path, sha256="", size_bytes=0, made_by="", inputs=(), facts=facts), 1
    )


@pytest.fixture
def teacher(weights: Path) -> TorchModel:
    module = tinynet.teacher()
    return TorchModel(loading.load_into(module, loading.read_weights(weights, "weights"), "weights").eval())


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_handmade_file_gives_its_first_output(
    batch: int | str, teacher: TorchModel, weights: Path, tmp_path: Path
) -> None:
    found = opened(write_onnx(tmp_path / "t.onnx", weights, batch)).outputs(TASK, "test", ROWS)
    assert found.shape == (4, 3)
    assert found == pytest.approx(teacher.outputs(TASK, "test", ROWS), abs=1e-4)


def test_a_softmax_at_the_end_is_undone(teacher: TorchModel, weights: Path, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "t.onnx", weights, softmax=True)
    chances = opened(path).outputs(TASK, "test", ROWS)
    assert chances.sum(1) == pytest.approx(1, abs=1e-6)
    found = opened(path, **{SOFTMAX: True}).outputs(TASK, "test", ROWS)
    logits = teacher.outputs(TASK, "test", ROWS)
    centred = logits - logits.mean(1, keepdims=True)
    assert found - found.mean(1, keepdims=True) == pytest.approx(centred, abs=1e-3)
    assert probabilities(found) == pytest.approx(chances, abs=1e-6)


def test_a_file_that_fails_while_it_runs_is_a_failed_stage(weights: Path, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "t.onnx", weights)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "channels"
    onnx.save(model, path)
    images = np.zeros((1, 5, tiny.SIZE, tiny.SIZE), np.float32)
    with pytest.raises(StageError, match=r"t\.onnx: onnxruntime can't run it: "):
        opened(path).runner.run([{"image": images}])


def test_several_teachers_cover_what_each_of_them_does(teacher: TorchModel, tmp_path: Path) -> None:
    names = [f"train/{row}" for row in range(tiny.TRAIN)]
    convert(
        write_table(tmp_path / "t.parquet", id=names, output=np.ones((tiny.TRAIN, 3))),
        tmp_path / "t.arrow",
        Outputs.LOGITS,
    )
    both = Ensemble([teacher, OutputsTable.open(tmp_path / "t.arrow")], (1.0, 1.0))
    assert both.covers(TASK, "train")
    assert teacher.covers(TASK, "test")
    assert not both.covers(TASK, "test")
