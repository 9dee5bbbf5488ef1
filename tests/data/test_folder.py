from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.data.dataset import DataSet
from edgekd.data.sources import DataConfig, source
from edgekd.errors import BadInputError


def draw(path: Path, value: int = 0, size: tuple[int, int] = (5, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        draw(tmp_path / split / "cat" / "a.png", 10)
        draw(tmp_path / split / "cat" / "b.PNG", 20)
        draw(tmp_path / split / "ant" / "a.jpg")
        (tmp_path / split / "ant" / "notes.txt").write_text("no image")
    return tmp_path


def load(root: Path) -> DataSet:
    return source(DataConfig(use="folder", path=root)).load()


def digest(root: Path) -> str:
    return source(DataConfig(use="folder", path=root)).digest()


def refused(root: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        load(root)
    return caught.value.message


def test_classes_are_the_sorted_folder_names(root: Path) -> None:
    data = load(root)
    assert data.classes == ("ant", "cat")
    assert data.train.labels.tolist() == [0, 1, 1]
    assert data.train.images.shape == (3, 4, 5, 3)
    assert data.train.images.dtype == np.uint8
    assert data.test.images[1:, 0, 0, 0].tolist() == [10, 20]


def test_images_out_of_the_domain_lie_beside_the_splits(root: Path) -> None:
    assert load(root).out_of_domain is None
    draw(root / "out_of_domain" / "any" / "a.png", 30)
    draw(root / "out_of_domain" / "b.png", 40)
    found = load(root)
    assert found.out_of_domain is not None
    assert found.out_of_domain[:, 0, 0, 0].tolist() == [30, 40]
    assert (found.classes, len(found.train), len(found.test)) == (("ant", "cat"), 3, 3)
    (root / "out_of_domain" / "b.png").unlink()
    (root / "out_of_domain" / "any" / "a.png").unlink()
    assert refused(root).startswith(f"{root / 'out_of_domain'}: found no images, expected files ending in .bmp, ")


def test_grey_images_become_rgb(root: Path) -> None:
    draw(root / "train" / "cat" / "a.png", 99, mode="L")
    assert load(root).train.images[1, 0, 0].tolist() == [99, 99, 99]


def test_images_of_another_size_are_refused(root: Path) -> None:
    draw(root / "train" / "cat" / "c.png", size=(6, 4))
    assert refused(root) == (
        f"{root}/train/cat/c.png: found an image of 6x4, expected 5x4 as in {root}/train/ant/a.jpg"
    )


def test_a_class_that_only_the_test_split_has_is_refused(root: Path) -> None:
    draw(root / "test" / "dog" / "a.png")
    assert refused(root) == f"{root}/test: found the classes ['dog'], which are not in {root}/train"


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 20])
def test_an_unreadable_image_is_refused_by_name(content: bytes, root: Path) -> None:
    (root / "train" / "cat" / "b.PNG").write_bytes(content)
    assert refused(root).startswith(f"{root}/train/cat/b.PNG: found a file that can't be read as an image: ")


def test_a_cut_off_image_is_refused(root: Path) -> None:
    path = root / "train" / "cat" / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    assert refused(root).startswith(f"{path}: found a file that can't be read as an image: ")


def test_folders_that_are_missing_or_empty_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: found no folder 'train'"
    (tmp_path / "train").mkdir()
    assert refused(tmp_path) == f"{tmp_path}: found no folder 'test'"
    (tmp_path / "test").mkdir()
    assert refused(tmp_path) == f"{tmp_path / 'train'}: found no class folders"
    (tmp_path / "train" / "cat").mkdir()
    assert refused(tmp_path).startswith(f"{tmp_path / 'train'}: found no images, expected files ending in .bmp, ")


def test_the_digest_is_of_names_and_bytes(root: Path) -> None:
    source(DataConfig(use="folder", path=root)).check()
    before = digest(root)
    (root / "train" / "ant" / "notes.txt").write_text("changed")
    assert digest(root) == before
    draw(root / "train" / "cat" / "a.png", 11)
    changed = digest(root)
    (root / "train" / "cat" / "a.png").rename(root / "train" / "cat" / "z.png")
    assert len({before, changed, digest(root)}) == 3
