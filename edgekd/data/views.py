"""Augmented views of the training images: fixed by the seed, so that a teacher's outputs can be cached for them."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd.toml_file import Frozen


class AugmentConfig(Frozen):
    """The [augment] table. View 0 is always the image itself."""

    views: Annotated[int, Field(ge=1, le=64)] = 1
    flip: bool = False  # mirror left and right, in half of the images of a view
    shift_pixels: Annotated[int, Field(ge=0, le=32)] = 0  # in any direction; the edge is filled with zeros


def view(images: npt.NDArray[Any], rows: npt.NDArray[np.int64], index: int, config: AugmentConfig) -> npt.NDArray[Any]:
    """Return view ``index`` of ``images[rows]`` (B, H, W, C).

    How an image is changed depends on its row and on the view alone, never on the batch that it is in.
    """
    chosen = images[rows]
    if index == 0:
        return chosen
    flip, down, right = _draws(len(images), index, config)
    if config.flip:
        chosen = np.where(flip[rows, None, None, None], chosen[:, :, ::-1], chosen)
    if config.shift_pixels:
        chosen = shifted(chosen, down[rows], right[rows], config.shift_pixels)
    return chosen


def shifted(
    images: npt.NDArray[Any], down: npt.NDArray[np.int64], right: npt.NDArray[np.int64], most: int
) -> npt.NDArray[Any]:
    """Move each image ``down`` and ``right`` by its own number of pixels (at most ``most`` either way)."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    rows = (most - down)[:, None] + np.arange(height)
    columns = (most - right)[:, None] + np.arange(width)
    return np.asarray(padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]])


@lru_cache(maxsize=64)  # one for each view: every batch asks, and they are drawn for the whole split
def _draws(
    count: int, index: int, config: AugmentConfig
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    generator = np.random.default_rng([index, count])
    flip = generator.random(count) < 0.5
    most = config.shift_pixels
    down, right = generator.integers(-most, most + 1, (2, count))
    return flip, down, right
