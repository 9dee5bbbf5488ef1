"""Image files as one array of bytes on disk: decoded once, one after another, and read through a memory map.

So memory doesn't grow with the number of images: only those that are asked for are read.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field

from edgekd.data.cache import Cache
from edgekd.errors import BadInputError, MissingExtraError

Image = npt.NDArray[np.uint8]
File = Path | IO[bytes]
FORMAT = 1  # raised when the same files give other arrays


def _square(value: object) -> object:
    return (value, value) if isinstance(value, int) else value


Side = Annotated[int, Field(ge=1, le=4096, strict=True)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_square)]  # height and width; in TOML one number for both will do


@dataclass(frozen=True, slots=True)
class Decoder:
    """Brings image files to one size, and keeps them.

    Attributes:
        size: height and width; None where the files have one size already, which is then theirs.
        cache: takes the arrays as files.

    """

    size: tuple[int, int] | None = None
    cache: Cache = field(default_factory=Cache)

    def check(self) -> None:
        """Refuse a missing library.

        Raises:
            MissingExtraError: Pillow isn't installed.

        """
        if find_spec("PIL") is None:
            raise MissingExtraError("pillow", "build", "reading images")

    def digest(self, files: str) -> str:
        """SHA-256 of all that decides the arrays: of ``files``, which is the files' own, size and decoder."""
        return hashlib.sha256(repr((FORMAT, files, self.size, version("pillow"))).encode()).hexdigest()

    def kept(self, name: str, files: Iterable[tuple[File, str]], count: int) -> Image:
        """Decode ``count`` files, each with what an error calls it, unless that was done before.

        Returns:
            Images (count, H, W, 3), read-only, of which nothing is in memory yet.

        Raises:
            BadInputError: one that can't be read; or they differ in size, and no size was asked for.

        """
        path = self.cache.root / f"{name}.npy"
        if not path.is_file():
            self._write(path, files, count)
        mapped: Image = np.load(path, mmap_mode="r").view(np.ndarray)
        return mapped

    def _write(self, path: Path, files: Iterable[tuple[File, str]], count: int) -> None:
        """Write the array beside ``path``, and put it in place whole."""
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as sink:  # and no map: a full disk is an error here, and a dead process there
                for row, image in enumerate(_alike((decoded(file, name, self.size), name) for file, name in files)):
                    if row == 0:
                        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *image.shape)}
                        np.lib.format.write_array_header_1_0(sink, header)
                    sink.write(np.ascontiguousarray(image).data)
                sink.flush()
                os.fsync(handle)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def png(image: npt.NDArray[Any]) -> bytes | None:
    """An image (H, W, 1 or 3) as a PNG file, which holds it as it is; None where its values aren't whole."""
    from PIL import Image as pillow  # noqa: N813 (a module)

    whole = image.astype(np.uint8)
    if not np.array_equal(whole, image):
        return None
    target = io.BytesIO()
    pillow.fromarray(whole[..., 0] if image.shape[2] == 1 else whole).save(target, "PNG")
    return target.getvalue()


def decoded(file: File, name: str, size: tuple[int, int] | None = None) -> Image:
    """An image file as RGB (H, W, 3); an error calls it ``name``.

    Grey becomes three equal channels, a palette its colours; transparency is dropped, and a camera's note on how it was
    held (EXIF) isn't looked at. With ``size`` the largest part in the middle that has the proportions of height and
    width is scaled to them by Pillow's bilinear filter, which averages over all that a new pixel covers (antialiased):
    the shorter side is resized, and what the longer one has too much is cut off at both ends alike. An image that has
    the size already stays as it is.

    Raises:
        BadInputError: no image, a damaged one, or one of more than 8 bits a channel.

    """
    from PIL import Image as pillow  # noqa: N813 (a module)
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with pillow.open(file) as image:
            _refuse_deep(image, name)
            plain = image.convert("RGB")
    except (UnidentifiedImageError, pillow.DecompressionBombError, OSError, SyntaxError) as error:  # of a broken PNG
        raise BadInputError(f"{name}: found a file that can't be read as an image: {error}") from error
    return np.asarray(plain if size is None else ImageOps.fit(plain, size[::-1], pillow.Resampling.BILINEAR))


def _refuse_deep(image: Any, name: str) -> None:
    if image.mode[:1] in ("I", "F"):  # Pillow would cut off all above 255
        raise BadInputError(
            f"{name}: found an image of more than 8 bits a channel (Pillow's mode {image.mode}), expected 8",
            "convert it to 8 bits first",
        )


def _alike(images: Iterable[tuple[Image, str]]) -> Iterator[Image]:
    """The images; refuses one of another size than the first one's."""
    first, first_name = None, ""
    for image, name in images:
        if first is None:
            first, first_name = image.shape, name
        elif image.shape != first:
            raise BadInputError(
                f"{name}: found an image of {image.shape[1]}x{image.shape[0]}, expected "
                f"{first[1]}x{first[0]} as in {first_name}",
                "write image_size = 224, or [HEIGHT, WIDTH], in [data]: all are then brought to that size",
            )
        yield image
