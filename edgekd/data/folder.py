"""An image folder: train/CLASS/*.png and test/CLASS/*.png, all of one size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from edgekd.data.dataset import DataSet, Split
from edgekd.errors import BadInputError, MissingExtraError

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})


def digest(root: Path) -> str:
    """SHA-256 over every image's relative name and bytes."""
    total = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def load(root: Path) -> DataSet:
    """Read the folder; the classes are the sorted names of train's subfolders.

    Raises:
        BadInputError: no such folder, an unreadable image, images of different sizes, a class only in test.

    """
    classes = class_names(root)
    return DataSet(f"image folder {root}", classes, _split(root / "train", classes), _split(root / "test", classes))


def class_names(root: Path) -> tuple[str, ...]:
    """The class names, from the folders below ROOT/train."""
    for split in ("train", "test"):
        if not (root / split).is_dir():
            raise BadInputError(f"{root}: found no folder {split!r}", "expected ROOT/train/CLASS and ROOT/test/CLASS")
    names = tuple(sorted(path.name for path in (root / "train").iterdir() if path.is_dir()))
    if not names:
        raise BadInputError(f"{root / 'train'}: found no class folders", "expected ROOT/train/CLASS/IMAGE")
    unknown = {path.name for path in (root / "test").iterdir() if path.is_dir()} - set(names)
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
    if not files:
        raise BadInputError(f"{folder}: found no images, expected files ending in {', '.join(sorted(ENDINGS))}")
    images = [_image(path) for path, _ in files]
    for (path, _), image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise BadInputError(
                f"{path}: found an image of {image.shape[1]}x{image.shape[0]}, expected "
                f"{images[0].shape[1]}x{images[0].shape[0]} as in {files[0][0]}",
                "resize the images to one size first",
            )
    return Split(np.stack(images), np.array([label for _, label in files], np.int64))


def _image(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MissingExtraError("pillow", "build", "an image folder") from None
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise BadInputError(f"{path}: found a file that can't be read as an image: {error}") from error
