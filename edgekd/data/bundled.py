"""The vendored Fashion-MNIST subset, and the full set where its four files are."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekd.data.dataset import DataSet, Split
from edgekd.errors import BadInputError
from edgekd.toml_file import PACKAGED

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
LICENCE = "MIT, Copyright (c) 2017 Zalando SE"
SUBSET = tuple(
    PACKAGED / "assets" / f"fashion-mnist-subset-{split}-{what}.idx.xz"
    for split in ("train", "test")
    for what in ("images", "labels")
)
FULL_NAMES = tuple(f"{split}-{what}-ubyte.gz" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))


def full_files(folder: Path) -> tuple[Path, ...]:
    """The four files of the full set in ``folder`` (Debian: /usr/share/datasets/fashion-mnist)."""
    return tuple(folder / name for name in FULL_NAMES)


def digest(files: tuple[Path, ...]) -> str:
    """SHA-256 over the files' bytes, without unpacking them."""
    total = hashlib.sha256()
    for path in files:
        total.update(_bytes(path))
    return total.hexdigest()


def load(files: tuple[Path, ...], title: str) -> DataSet:
    """Read training images and labels, test images and labels (IDX, compressed by xz or gzip)."""
    arrays = [read_idx(path) for path in files]
    splits = [
        Split(images[..., None], labels.astype(np.int64))
        for images, labels in zip(arrays[::2], arrays[1::2], strict=True)
    ]
    return DataSet(title, CLASSES, splits[0], splits[1], LICENCE)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read one IDX file of bytes.

    Raises:
        BadInputError: missing, damaged or not IDX.

    """
    try:
        raw = (lzma if path.suffix == ".xz" else gzip).decompress(_bytes(path))
        shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    except (lzma.LZMAError, EOFError, OSError, ValueError, IndexError) as error:
        raise BadInputError(f"{path}: found a damaged IDX file ({error}), expected compressed IDX bytes") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(
            f"{path}: found no readable file ({error.strerror})",
            "the full set comes with Debian's package dataset-fashion-mnist",
        ) from error
