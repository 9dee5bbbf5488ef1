"""Training rows of another source, in the classes of the pipeline's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

from edgekd.data.dataset import DataSet
from edgekd.data.sources import DataConfig
from edgekd.data.text_sources import TextDataConfig
from edgekd.data.texts import TextSet
from edgekd.errors import BadInputError
from edgekd.tasks import TaskData

ROWS = {"texts": "hello there,ham\nbuy now,spam\nsee you,ham\n", "tests": "win a prize,spam\nhi,ham\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in {**ROWS, "domain": "buy pills,spam\nHI,ham\nwhere are you,ham\n"}.items():
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}")
    return tmp_path


def texts(folder: Path, **keys: Any) -> TaskData:
    whole = TextDataConfig(use="table", train="texts.csv", test="tests.csv").beside(folder)
    own = TextDataConfig.model_validate({"use": "table", "train": "domain.csv", **keys}).beside(folder)
    return TaskData("text-classification", whole).trained_on(own)


def text_set(folder: Path, **keys: Any) -> TextSet:
    found: TextSet = texts(folder, **keys).set
    return found


def refused(folder: Path, rows: str = "", **keys: Any) -> BadInputError:
    if rows:
        (folder / "domain.csv").write_text(f"text,label\n{rows}")
    with pytest.raises(BadInputError) as caught:
        text_set(folder, **keys)
    return caught.value


def images(own: DataConfig) -> TaskData:
    return TaskData("image-classification", DataConfig(use="tiny:data", selection=30)).trained_on(own)


def test_texts_are_trained_on_other_rows_and_scored_on_the_same(folder: Path) -> None:
    (folder / "domain.csv").write_text("text,label\nbuy pills,spam\nwhere are you,ham\n")
    data = text_set(folder)
    assert list(data.train.texts) == ["buy pills", "where are you"]
    assert data.train.labels is not None
    assert (data.classes, data.train.labels.tolist()) == (("ham", "spam"), [1, 0])
    assert list(getattr(data.test, "texts", ())) == ["win a prize", "hi"]
    assert data.title == str(folder / "domain.csv")
    assert data.problems == ()


def test_test_texts_of_the_pipeline_are_counted_and_left_out(folder: Path) -> None:
    dropped, kept = text_set(folder), text_set(folder, duplicates="keep")
    assert list(dropped.train.texts) == ["buy pills", "where are you"]
    assert dropped.problems == (
        (
            "1 of 2 test texts occur in training too (the first: test text 1, training text 1); "
            "1 training texts were left out for it"
        ),
    )
    assert len(kept.train) == 3
    assert len(text_set(folder, rows=2, duplicates="keep").train) == 2


def test_the_digest_is_of_the_rows_and_of_the_pipelines_data(folder: Path) -> None:
    first = texts(folder).digest
    assert texts(folder).digest == first
    assert texts(folder, rows=2).digest != first
    assert texts(folder, selection=2).digest != first
    (folder / "tests.csv").write_text("text,label\nwin,spam\nhi,ham\n")
    second = texts(folder).digest
    (folder / "domain.csv").write_text("text,label\nbuy,spam\nhi,ham\n")
    assert len({first, second, texts(folder).digest}) == 3


def test_labels_of_other_classes_are_refused(folder: Path) -> None:
    error = refused(folder, "buy,spam\nhi,hamm\n")
    assert error.message == f"{folder}/domain.csv: found the label 'hamm', expected one of the pipeline's classes"
    assert error.hint == "did you mean 'ham' or 'spam'?"


def test_a_class_without_a_row_is_refused(folder: Path) -> None:
    error = refused(folder, "buy,spam\n")
    assert error.message.startswith(f"{folder}/domain.csv: found no row of the class 'ham', expected some of each of")
    assert error.hint.startswith("add rows of that class")


def test_what_training_rows_have_no_use_for_is_refused(folder: Path) -> None:
    for key, value in (("test", "tests.csv"), ("out_of_domain", "tests.csv"), ("max_length", 12)):
        message = refused(folder, **{key: value}).message
        assert message.startswith(f"[data] {key}: found with use = 'table', which takes columns, duplicates, rows,")
    message = refused(folder, use="tiny:data", train=(), max_length=12).message
    assert message.startswith("[data] max_length: found with use = 'tiny:data'")


def test_empty_texts_are_refused(folder: Path) -> None:
    assert "found no text in 1 of 2 rows, the first in row 1" in refused(folder, "buy,spam\n ,ham\n").message


def test_images_are_trained_on_other_rows_whose_classes_have_another_order() -> None:
    data: DataSet = images(DataConfig(use="tiny:swapped", selection=30)).set
    assert data.classes == tiny.CLASSES
    np.testing.assert_array_equal(data.train.images, tiny.bars(180, 3).images)
    np.testing.assert_array_equal(data.train.labels[:3], [1, 0, 2])  # a row that is called a column, …
    np.testing.assert_array_equal(data.test.images, tiny.data().test.images)


def test_a_folder_or_a_table_of_images_needs_no_test_split(tmp_path: Path) -> None:
    repeated = tiny.data().test.images[:3, ..., 0]
    for image, name in zip(repeated, tiny.CLASSES, strict=True):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(image).convert("RGB").save(tmp_path / "train" / name / "a.png")
    lines = "".join(f"train/{name}/a.png,{name}\n" for name in tiny.CLASSES)
    (tmp_path / "domain.csv").write_text(f"image,label\n{lines}")
    table = DataConfig(use="table", train=("domain.csv",)).beside(tmp_path)
    for own in (DataConfig(use="folder", path=tmp_path), table):
        source = images(own).source
        source.check()
        with pytest.raises(BadInputError, match=r"training images of .12, 12, 3. and test images of .12, 12, 1."):
            source.load()
    with pytest.raises(BadInputError) as caught:
        images(DataConfig(use="table", train=("domain.csv",), test=("domain.csv",)))
    assert caught.value.message.startswith("[data] test: found with use = 'table', which takes columns, image_size,")


def test_repeated_images_are_counted_and_kept() -> None:
    data: DataSet = images(DataConfig(use="tiny:tested", selection=30)).set
    assert len(data.train) == 60
    assert data.problems == (
        "60 of 60 test images occur in training too (the first: test image 0, training image 0); they were kept",
    )
