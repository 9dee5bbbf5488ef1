"""DataSet: images with labels in two splits, checked before anything is trained on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import BadInputError

SPLITS = ("train", "test")
OUTSIDE = "out_of_domain"
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Split:
    """Images (N, H, W, C), bytes or floats from 0 to 255, and their labels (N,); both may be mapped from a file."""

    images: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def none(self) -> Split:
        """No images, of the same shape."""
        return Split(self.images[:0], self.labels[:0])


@dataclass(frozen=True, slots=True)
class DataSet:
    """A training split, and a test split that no training, calibration or selection ever sees.

    ``out_of_domain`` are images (N, H, W, C) that belong to no class, for the AUROC of confidence.
    """

    title: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    licence: str = ""
    problems: tuple[str, ...] = ()  # what was found about the data, with counts, for the report
    out_of_domain: npt.NDArray[Any] | None = None

    def shape(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.train.images.shape[1:3]
        return int(height), int(width)


def digest(data: DataSet) -> str:
    """SHA-256 over classes, images and labels."""
    total = hashlib.sha256(repr(data.classes).encode())
    for split in (data.train, data.test):
        _update(total, split.images)
        total.update(np.ascontiguousarray(split.labels).data)
    if data.out_of_domain is not None:
        _update(total, data.out_of_domain)
    return total.hexdigest()


def check(data: DataSet) -> DataSet:
    """Return ``data`` if it can be trained on.

    Raises:
        BadInputError: an empty split, a wrong shape, NaN, values outside 0..255, a label that names no class.

    """
    for name, split in (("train", data.train), ("test", data.test)):
        where = f"data set {data.title!r}, split {name!r}"
        _check_images(split.images, where)
        _check_labels(split, data.classes, where)
    if data.train.images.shape[1:] != data.test.images.shape[1:]:
        raise BadInputError(
            f"data set {data.title!r}: found training images of {data.train.images.shape[1:]} and test images of "
            f"{data.test.images.shape[1:]}, expected the same height, width and channels"
        )
    if data.out_of_domain is not None:
        _check_images(data.out_of_domain, f"data set {data.title!r}, split {OUTSIDE!r}")
        if data.out_of_domain.shape[1:] != data.test.images.shape[1:]:
            raise BadInputError(
                f"data set {data.title!r}: found images out of the domain of {data.out_of_domain.shape[1:]} and test "
                f"images of {data.test.images.shape[1:]}, expected the same height, width and channels"
            )
    return data


def _update(total: Any, images: npt.NDArray[Any]) -> None:
    total.update(repr((images.shape, images.dtype.str)).encode())
    for part in _parts(images):
        total.update(np.ascontiguousarray(part).data)


def _check_images(images: npt.NDArray[Any], where: str) -> None:
    if len(images) == 0:
        raise BadInputError(f"{where}: found no images, expected at least one", "check the path and the file endings")
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise BadInputError(f"{where}: found images of shape {images.shape}, expected (count, height, width, 1 or 3)")
    if images.dtype != np.uint8:
        _check_values(images, where)


def _check_values(images: npt.NDArray[Any], where: str) -> None:
    bad = np.concatenate([~np.isfinite(part).reshape(len(part), -1).all(1) for part in _parts(images)])
    if bad.any():
        row = int(np.argmax(bad))
        raise BadInputError(
            f"{where}: found NaN or infinite values in {int(bad.sum())} of {len(bad)} images, the first in row {row}",
            "repair or leave out those rows",
        )
    low = min(float(part.min()) for part in _parts(images))
    high = max(float(part.max()) for part in _parts(images))
    if low < 0 or high > 255:
        raise BadInputError(f"{where}: found pixel values from {low:g} to {high:g}, expected 0 to 255")


def _parts(images: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Some images after others, so that what is computed of them needs little memory where they are mapped."""
    return (images[start : start + ROWS_AT_ONCE] for start in range(0, len(images), ROWS_AT_ONCE))


def _check_labels(split: Split, classes: tuple[str, ...], where: str) -> None:
    if split.labels.ndim != 1 or split.labels.dtype.kind not in "iu":
        raise BadInputError(
            f"{where}: found labels of shape {split.labels.shape} and type {split.labels.dtype}, "
            "expected one whole number an image"
        )
    if len(split.images) != len(split.labels):
        raise BadInputError(f"{where}: found {len(split.images)} images and {len(split.labels)} labels")
    outside = (split.labels < 0) | (split.labels >= len(classes))
    if outside.any():
        row = int(np.argmax(outside))
        raise BadInputError(
            f"{where}: found label {int(split.labels[row])} in row {row}, expected 0 to {len(classes) - 1} "
            f"({len(classes)} classes)"
        )
