import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from edgekd.data.dataset import DataSet
from edgekd.data.sources import DataConfig
from edgekd.errors import BadInputError
from edgekd.tasks import TaskData


def encoded(value: int, size: tuple[int, int] = (5, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a folder"
    (made / "images").mkdir(parents=True)
    for value in range(4):
        (made / "images" / f"{value}.png").write_bytes(encoded(value))
    (made / "train.csv").write_text("image,label\nimages/0.png,cat\nimages/1.png,ant\n")
    (made / "test.csv").write_text("image,label\nimages/2.png,cat\nimages/3.png,ant\n")
    return made


def data(folder: Path, **keys: Any) -> TaskData:
    values = {"use": "table", "train": "train.csv", "test": "test.csv", **keys}
    return TaskData("image-classification", DataConfig.model_validate(values).beside(folder))


def loaded(folder: Path, **keys: Any) -> DataSet:
    found = data(folder, **keys)
    found.source.check()
    return found.set


def refused(folder: Path, **keys: Any) -> str:
    with pytest.raises(BadInputError) as caught:
        loaded(folder, **keys)
    return caught.value.message


def test_paths_are_relative_to_the_table(folder: Path) -> None:
    found = loaded(folder)
    assert found.classes == ("ant", "cat")
    assert found.train.images.shape == (2, 4, 5, 3)
    assert found.train.images[:, 0, 0, 0].tolist() == [0, 1]
    assert found.test.images[:, 0, 0, 0].tolist() == [2, 3]
    assert found.train.labels.tolist() == found.test.labels.tolist() == [1, 0]
    assert found.problems == ()


def test_bytes_in_parquet_are_decoded(folder: Path) -> None:
    parquet.write_table(pa.table({"picture": [encoded(7), encoded(8)], "kind": [1, 0]}), folder / "a.parquet")
    structs = [{"bytes": encoded(9), "path": None}, {"bytes": None, "path": "images/3.png"}]
    parquet.write_table(pa.table({"picture": structs, "kind": [0, 1]}), folder / "b.parquet")
    found = loaded(folder, train="a.parquet", test="b.parquet", columns={"image": "picture", "label": "kind"})
    assert found.train.images[:, 0, 0, 0].tolist() == [7, 8]
    assert found.test.images[:, 0, 0, 0].tolist() == [9, 3]
    assert found.classes == ("0", "1")


def test_a_hubs_image_folder_is_decoded(folder: Path) -> None:
    for split, values in (("train", (0, 1)), ("test", (2, 3))):
        for kind, value in zip(("ant", "cat"), values, strict=True):
            path = folder / "hub" / split / kind / "a.png"
            path.parent.mkdir(parents=True)
            path.write_bytes(encoded(value))
    found = loaded(folder, use="hub", path="hub", train="train", test="test")
    assert found.classes == ("ant", "cat")
    assert sorted(found.train.images[:, 0, 0, 0].tolist()) == [0, 1]
    assert len(data(folder, use="hub", path="hub", train="train", test="test").digest) > 64


def test_images_out_of_the_domain_need_no_label(folder: Path) -> None:
    (folder / "others.csv").write_text("image\nimages/3.png\nimages/3.png\nimages/2.png\n")
    found = loaded(folder, out_of_domain="others.csv")
    assert found.out_of_domain is not None
    assert found.out_of_domain[:, 0, 0, 0].tolist() == [3, 3, 2]
    assert (found.classes, len(found.test), loaded(folder).out_of_domain) == (("ant", "cat"), 2, None)
    before = data(folder, out_of_domain="others.csv").digest
    (folder / "others.csv").write_text("image\nimages/3.png\n")
    assert len({before, data(folder).digest, data(folder, out_of_domain="others.csv").digest}) == 3
    (folder / "others.csv").write_text("file\nimages/3.png\n")
    assert "others.csv: found no column 'image', only 'file'" in refused(folder, out_of_domain="others.csv")


def test_images_that_both_splits_have_are_counted_and_kept(folder: Path) -> None:
    (folder / "images" / "3.png").write_bytes(encoded(1))
    found = loaded(folder)
    assert len(found.train) == 2
    assert found.problems == (
        "1 of 2 test images occur in training too (the first: test image 1, training image 1); they were kept",
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image,label\nimages/9.png,cat\n", "row 0: found no readable image"),
        ("image,label\nimages/0.png,cat\n,ant\n", "row 1: found '', expected the path or the bytes of an image"),
        ("image,label\nimages/0.png,cat\nimages/1.png,\n", "column 'label': found nothing in row 1"),
        ("image,label\ntrain.csv,cat\n", "found a file that can't be read as an image"),
        ("image,label\nimages/0.png,cat\n", "found no training image of the class 'ant'"),
        ("image,label\nimages/0.png,cat\nlarge.png,ant\n", "found an image of 6x4, expected 5x4 as in"),
        ("file,label\nimages/0.png,cat\n", "found no column 'image', only 'file', 'label'"),
    ],
)
def test_rows_without_a_usable_image_or_label_are_refused(table: str, message: str, folder: Path) -> None:
    (folder / "large.png").write_bytes(encoded(0, (6, 4)))
    (folder / "train.csv").write_text(table)
    assert message in refused(folder)


def test_unlike_images_are_brought_to_one_size(folder: Path) -> None:
    (folder / "images" / "1.png").write_bytes(encoded(1, (60, 40)))
    found = loaded(folder, image_size=[4, 6])
    assert found.train.images.shape == found.test.images.shape == (2, 4, 6, 3)
    assert found.train.images[:, 0, 0, 0].tolist() == [0, 1]
    assert data(folder, image_size=[4, 6]).digest != data(folder, image_size=[6, 4]).digest


def test_a_damaged_image_in_a_table_is_named_by_its_row(folder: Path) -> None:
    parquet.write_table(pa.table({"image": [encoded(1), b"no image"], "label": ["cat", "ant"]}), folder / "a.parquet")
    assert f"{folder / 'a.parquet'}, row 1: found a file that can't be read" in refused(folder, train="a.parquet")


def test_tables_with_paths_lie_in_one_folder(folder: Path) -> None:
    (folder / "images" / "train.csv").write_text("image,label\n0.png,cat\n")
    assert "expected one folder, from which the images' paths start" in refused(folder, train="**/train.csv")


def test_the_digest_is_of_the_tables_and_of_the_images(folder: Path) -> None:
    before = data(folder).digest
    assert data(folder).digest == before
    (folder / "images" / "1.png").write_bytes(encoded(5))
    after = data(folder).digest
    (folder / "test.csv").write_text("image,label\nimages/2.png,ant\nimages/3.png,ant\n")
    assert len({before, after, data(folder).digest}) == 3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"use": "table", "train": "train.csv"}, "[data]: found use = 'table' and no test, expected test = a file"),
        ({"use": "table", "path": "x"}, "[data] path: found with use = 'table', which takes columns, image_size, "),
        ({"use": "fashion-mnist-subset", "train": "x"}, "[data] train: found with use = 'fashion-mnist-subset'"),
    ],
)
def test_keys_that_are_missing_or_useless_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        TaskData("image-classification", DataConfig.model_validate(keys))
    assert caught.value.message.startswith(message)


def test_files_are_found_beside_the_pipeline_and_others_stay() -> None:
    config = DataConfig(use="folder", path=Path("images")).beside(Path("pipelines"))
    assert config.path == Path("pipelines/images")
    assert DataConfig(use="hub", path=Path("owner/name")).beside(Path("pipelines")).path == Path("owner/name")
    assert np.array_equal(DataConfig(use="table", train=("/a.csv",)).beside(Path("pipelines")).train, ("/a.csv",))
