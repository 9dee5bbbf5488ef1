from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from edgekd.algorithms import shift
from edgekd.data.dataset import DataSet
from edgekd.data.sources import DataConfig
from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError
from edgekd.tasks.base import Outputs
from edgekd.tasks.image_classification import ImageClassification, open_task, prepare

DATA = tiny.data()
TASK = ImageClassification(DATA, 30)


def test_prepared_images_are_rgb_channels_first_from_minus_1_to_1() -> None:
    images = np.array([0, 255, 51], np.uint8).reshape(1, 1, 3, 1)
    found = prepare(images)
    assert (found.shape, found.dtype) == ((1, 3, 1, 3), np.float32)
    for channel in found[0]:
        np.testing.assert_allclose(channel[0], [-1.0, 1.0, -0.6], atol=1e-6)
    coloured = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
    np.testing.assert_allclose(prepare(coloured)[0, :, 0, 1], (np.array([3, 4, 5]) - 127.5) / 127.5, atol=1e-6)


def test_inputs_are_the_images_of_the_split_and_rows() -> None:
    rows = np.array([7, 3])
    outside = DATA.out_of_domain
    assert outside is not None
    for split, images in (("train", DATA.train.images), ("test", DATA.test.images), ("out_of_domain", outside)):
        found = TASK.inputs(split, rows)
        assert list(found) == ["image"]
        assert np.array_equal(found["image"], prepare(images[rows]))
    assert (TASK.count("train"), TASK.count("test"), TASK.count("out_of_domain")) == (240, 60, 20)
    assert ImageClassification(replace(DATA, out_of_domain=None), 30).count("out_of_domain") == 0


def test_views_change_the_training_images_and_no_others() -> None:
    viewed = TASK.augmented(AugmentConfig(views=2, shift_pixels=2))
    rows = np.arange(20)
    assert np.array_equal(viewed.inputs("train", rows, 0)["image"], TASK.inputs("train", rows)["image"])
    assert not np.array_equal(viewed.inputs("train", rows, 1)["image"], TASK.inputs("train", rows)["image"])
    assert np.array_equal(TASK.inputs("train", rows, 1)["image"], TASK.inputs("train", rows)["image"])
    assert (viewed.selection, viewed.classes) == (30, tiny.CLASSES)


def test_the_score_is_one_for_each_image_whose_largest_logit_is_its_class() -> None:
    labels = DATA.test.labels
    logits = np.eye(3)[(labels + (np.arange(60) < 6)) % 3]  # the first six are wrong
    scored = TASK.score(logits)
    assert scored.scores.tolist() == [0.0] * 6 + [1.0] * 54
    assert np.array_equal(scored.more["labels"], labels)


def test_shifts_are_those_of_images_and_touch_the_first_test_images_alone() -> None:
    assert {name: tuple(levels) for name, levels in TASK.shifts().items()} == {
        name: each.levels for name, each in shift.IMAGE_SHIFTS.items()
    }
    rows = np.arange(10)
    plain = TASK.under(None, 0.0, 10, 5)
    assert plain.count("test") == 10
    assert np.array_equal(plain.inputs("test", rows)["image"], TASK.inputs("test", rows)["image"])
    for kind, levels in TASK.shifts().items():
        first, again = (TASK.under(kind, levels[-1], 10, 5) for _ in range(2))
        seen = first.inputs("test", rows)["image"]
        assert not np.array_equal(seen, TASK.inputs("test", rows)["image"]), kind
        assert np.array_equal(seen, again.inputs("test", rows)["image"]), kind
        assert np.array_equal(first.inputs("train", rows)["image"], TASK.inputs("train", rows)["image"])
        assert first.score(np.zeros((10, 3))).more["labels"].tolist() == DATA.test.labels[:10].tolist()


def test_opening_checks_the_data_and_keeps_what_was_found_about_it(tmp_path: Path) -> None:
    config = DataConfig(use="tiny:data", selection=12)
    task = open_task(replace(DATA, problems=("2 images twice",)), config, None, tmp_path)
    assert (task.title, task.selection, task.outputs) == ("tiny bars", 12, Outputs.LOGITS)
    assert task.notes() == ("2 images twice",)
    broken = DataSet("broken", ("row",), DATA.train, DATA.test)
    with pytest.raises(BadInputError, match="data set 'broken', split 'train': found label"):
        open_task(broken, config, None, tmp_path)
