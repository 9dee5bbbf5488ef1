"""An image folder: train/CLASS/*.png and test/CLASS/*.png; out_of_domain/*.png if there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekd.data.dataset import OUTSIDE, SPLITS, DataSet, Split
from edgekd.data.images import Decoder, Image
from edgekd.errors import BadInputError

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})


def digest(root: Path) -> str:
    """SHA-256 over every image's relative name and bytes."""
    total = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def load(root: Path, decoder: Decoder, name: str, splits: Sequence[str] = SPLITS) -> DataSet:
    """Read the folder; the classes are the sorted names of train's subfolders, a split that isn't read is empty.

    Args:
        root: the folder.
        decoder: makes arrays of its images.
        name: what the arrays are kept as; a digest of the images.
        splits: those that are read.

    Raises:
        BadInputError: no such folder, an unreadable image, images of different sizes, a class only in test.

    """
    classes = class_names(root, splits)
    train = _split(root / "train", classes, decoder, f"{name}-train")
    test = _split(root / "test", classes, decoder, f"{name}-test") if "test" in splits else train.none()
    outside = None
    if "test" in splits and (root / OUTSIDE).is_dir():
        files = sorted(path for path in (root / OUTSIDE).rglob("*") if path.suffix.lower() in ENDINGS)
        outside = _images(files, root / OUTSIDE, decoder, f"{name}-{OUTSIDE}")
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


def _split(folder: Path, classes: tuple[str, ...], decoder: Decoder, name: str) -> Split:
    files = [
        (path, label)
        for label, each in enumerate(classes)
        for path in sorted((folder / each).glob("*"))
        if path.suffix.lower() in ENDINGS
    ]
    images = _images([path for path, _ in files], folder, decoder, name)
    return Split(images, np.array([label for _, label in files], np.int64))


def _images(files: Sequence[Path], folder: Path, decoder: Decoder, name: str) -> Image:
    if not files:
        raise BadInputError(f"{folder}: found no images, expected files ending in {', '.join(sorted(ENDINGS))}")
    return decoder.kept(name, ((path, str(path)) for path in files), len(files))
