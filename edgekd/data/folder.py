"""An image folder: train/CLASS/*.png and test/CLASS/*.png, all of one size; out_of_domain/*.png if there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from edgekd.data.dataset import OUTSIDE, SPLITS, DataSet, Split
from edgekd.errors import BadInputError, MissingExtraError

Image = npt.NDArray[np.uint8]
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})


def digest(root: Path) -> str:
    """SHA-256 over every image's relative name and bytes."""
    total = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def load(root: Path, splits: Sequence[str] = SPLITS) -> DataSet:
    """Read the folder; the classes are the sorted names of train's subfolders, a split that isn't read is empty.

    Raises:
        BadInputError: no such folder, an unreadable image, images of different sizes, a class only in test.

    """
    classes = class_names(root, splits)
    train = _split(root / "train", classes)
    test = _split(root / "test", classes) if "test" in splits else train.none()
    outside = _images(root / OUTSIDE) if "test" in splits and (root / OUTSIDE).is_dir() else None
    return DataSet(f"image folder {root}", classes, train, test, out_of_domain=outside)


def class_names(root: Path, splits: Sequence[str] = SPLITS) -> tuple[str, ...]:
    """The class names, from the folders below ROOT/train."""
    for split in splits:
        if not (root / split).is_dir():
            expected = " and ".join(f"ROOT/{name}/CLASS" for name in splits)
            raise BadInputError(f"{root}: found no folder {split!r}", f"expected {expected}")
    names = tuple(sorted(path.name for path in (root / "train").iterdir() if path.is_dir()))
    if not names:
        raise BadInputError(f"{root / 'train'}: found no class folders", "expected ROOT/train/CLASS/IMAGE")
    tested = (root / "test").iterdir() if "test" in splits else ()
    unknown = {path.name for path in tested if path.is_dir()} - set(names)
    if unknown:
        raise BadInputError(f"{root / 'test'}: found the classes {sorted(unknown)}, which are not in {root / 'train'}")
    return names


def _split(folder: Path, classes: tuple[str, ...]) -> Split:
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).glob("*"))
        if path.suffix.lower() in ENDINGS
    ]
    return Split(_read([path for path, _ in files], folder), np.array([label for _, label in files], np.int64))


def _images(folder: Path) -> Image:
    """Every image in ``folder``, at any depth."""
    return _read(sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS), folder)


def _read(files: Sequence[Path], folder: Path) -> Image:
    if not files:
        raise BadInputError(f"{folder}: found no images, expected files ending in {', '.join(sorted(ENDINGS))}")
    return stacked([(decoded(path, str(path)), str(path)) for path in files])


def stacked(images: Sequence[tuple[Image, str]]) -> Image:
    """Images (H, W, 3), each with what an error calls it, as one array (N, H, W, 3).

    Raises:
        BadInputError: they differ in size.

    """
    first, first_name = images[0]
    for image, name in images:
        if image.shape != first.shape:
            raise BadInputError(
                f"{name}: found an image of {image.shape[1]}x{image.shape[0]}, expected "
                f"{first.shape[1]}x{first.shape[0]} as in {first_name}",
                "resize the images to one size first",
            )
    return np.stack([image for image, _ in images])


def decoded(file: Path | IO[bytes], name: str) -> Image:
    """An image file as RGB (H, W, 3); an error calls it ``name``.

    Raises:
        BadInputError: no image, or a damaged one.

    """
    try:
        from PIL import Image as pillow  # noqa: N813 (a module)
        from PIL import UnidentifiedImageError
    except ImportError:
        raise MissingExtraError("pillow", "build", "reading images") from None
    try:
        with pillow.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise BadInputError(f"{name}: found a file that can't be read as an image: {error}") from error
