"""A .keras file as a teacher; these run where the extra edgekd[tensorflow] is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from edgekd.artifact import Artifact, Kind
from edgekd.errors import StageError
from edgekd.models.predicting import open_model
from edgekd.tasks.image_classification import ImageClassification, prepare

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras: Any = pytest.importorskip("keras", reason="needs the extra edgekd[tensorflow]")
pytest.importorskip("tensorflow", reason="needs the extra edgekd[tensorflow]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras", "ignore::DeprecationWarning:tensorflow")

TASK = ImageClassification(tiny.data(), 30)
ROWS = np.array([5, 0, 59])
IDS, MASK = np.array([[1, 2, 3], [4, 5, 0]]), np.array([[1, 1, 1], [1, 1, 0]])


def opened(path: Path) -> Any:
    return open_model(Artifact(key="", kind=Kind.KERAS, path=path, sha256="", size_bytes=0, made_by="", inputs=()), 1)


def runner(model: Any, path: Path) -> Any:
    model.save(path)
    return opened(path)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_images_are_given_with_their_channels_where_the_model_has_them(order: tuple[int, ...], tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    images = prepare(tiny.data().test.images[ROWS]).transpose(order)
    model = keras.Sequential([keras.Input(images.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(4)])
    expected = model(images).numpy()
    assert runner(model, tmp_path / "t.keras").outputs(TASK, "test", ROWS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("structure", [dict, list])
def test_texts_are_given_by_name_and_the_first_output_is_taken(structure: type, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    table = keras.layers.Embedding(10, 4)
    embedded = table(ids)
    vector = keras.layers.GlobalAveragePooling1D()(embedded, mask=keras.ops.cast(mask, "bool"))
    inputs = {"input_ids": ids, "attention_mask": mask} if structure is dict else [mask, ids]
    model = keras.Model(inputs, [vector, embedded])
    rows = table.get_weights()[0]
    found = runner(model, tmp_path / "t.keras").runner.run([{"input_ids": IDS, "attention_mask": MASK}])
    assert found == pytest.approx(np.stack([rows[[1, 2, 3]].mean(0), rows[[4, 5]].mean(0)]), abs=1e-6)


def test_a_batch_of_one_is_run_row_by_row(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    layers = [keras.Input(batch_shape=(1, tiny.SIZE, tiny.SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    assert runner(keras.Sequential(layers), tmp_path / "t.keras").outputs(TASK, "test", ROWS).shape == (3, 2)


def test_a_damaged_file_and_one_that_needs_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.keras").write_bytes(b"PK nothing")
    with pytest.raises(StageError, match=r"t\.keras: Keras can't load it: "):
        opened(tmp_path / "t.keras")
    doubling = keras.layers.Lambda(lambda values: values * 2)
    with pytest.raises(StageError, match=r"Keras can't load it: .*Lambda"):
        runner(keras.Sequential([keras.Input((3,)), doubling]), tmp_path / "code.keras")
