import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from edgekd.data import bundled
from edgekd.data.dataset import check
from edgekd.data.sources import DataConfig, source
from edgekd.errors import BadInputError


def test_the_subset_is_balanced_and_licensed() -> None:
    data = check(source(DataConfig(use="fashion-mnist-subset")).load())
    assert "subset" in data.title
    assert data.licence.startswith("MIT")
    assert data.train.images.shape == (13_500, 28, 28, 1)
    assert data.test.images.shape == (2_000, 28, 28, 1)
    assert np.bincount(data.train.labels).tolist() == [1350] * 10
    assert np.bincount(data.test.labels).tolist() == [200] * 10
    assert len(data.classes) == 10


def test_no_test_image_is_a_training_image() -> None:
    data = bundled.load(bundled.SUBSET, "subset")
    train, test = ({image.tobytes() for image in split.images} for split in (data.train, data.test))
    assert not train & test


def test_the_subset_is_small_and_comes_with_its_notice() -> None:
    assert sum(path.stat().st_size for path in bundled.SUBSET) < 6_000_000
    notice = (bundled.SUBSET[0].parent / "fashion-mnist-subset.LICENSE").read_text()
    assert "MIT" in notice
    assert "Zalando" in notice


def test_the_digest_needs_no_unpacking_and_sees_every_file(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.xz", "b.xz")]
    for path in files:
        path.write_bytes(b"not even packed")
    before = bundled.digest(tuple(files))
    files[1].write_bytes(b"not even packed?")
    assert bundled.digest(tuple(files)) != before


def idx(shape: tuple[int, ...]) -> bytes:
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    return header + bytes(range(int(np.prod(shape))))


def test_both_packings_are_read(tmp_path: Path) -> None:
    for name, pack in (("a.xz", lzma.compress), ("a.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(idx((2, 3))))
        assert bundled.read_idx(tmp_path / name).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "content",
    [b"", b"not packed", lzma.compress(b""), lzma.compress(idx((2, 3))[:-1]), lzma.compress(idx((2, 3)))[:-9]],
)
def test_a_damaged_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.xz").write_bytes(content)
    with pytest.raises(BadInputError, match=r"a\.xz: found a damaged IDX file"):
        bundled.read_idx(tmp_path / "a.xz")


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        bundled.read_idx(tmp_path / "none.gz")
    assert "dataset-fashion-mnist" in caught.value.hint
    with pytest.raises(BadInputError, match="found no file"):
        source(DataConfig(use="fashion-mnist", path=tmp_path)).check()


def test_the_full_set_is_read_from_its_four_files(tmp_path: Path) -> None:
    for name, count in zip(bundled.FULL_NAMES, (30, 30, 20, 20), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        header = bytes([0, 0, 8, len(shape), *b"".join(size.to_bytes(4, "big") for size in shape)])
        values = np.arange(np.prod(shape)) % 251 if "images" in name else np.arange(count) % 10
        (tmp_path / name).write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))
    data = check(source(DataConfig(use="fashion-mnist", path=tmp_path)).load())
    assert (data.train.images.shape, data.test.images.shape) == ((30, 28, 28, 1), (20, 28, 28, 1))
    assert data.train.labels.tolist() == [*range(10)] * 3
    assert data.test.images[1, 0, :3, 0].tolist() == [784 % 251, 785 % 251, 786 % 251]
