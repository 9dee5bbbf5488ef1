"""Image classification: bytes in, one logit a class out, scored by top-1 accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

NAME = "image-classification"
METRIC = "top-1 accuracy"
MEAN, SCALE = 127.5, 127.5  # [0, 255] -> [-1, 1], the range that mobile models and MediaPipe expect


def prepare(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Images (N, H, W, 1 or 3) from 0 to 255 -> model input (N, 3, H, W) from -1 to 1; grey is repeated as RGB."""
    scaled = (images.astype(np.float32) - MEAN) / SCALE
    return np.ascontiguousarray(np.broadcast_to(scaled, (*scaled.shape[:3], 3)).transpose(0, 3, 1, 2))


def correct(logits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """1.0 for each row of ``logits`` (N, classes) whose largest value is its label, else 0.0.

    >>> correct(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])).tolist()
    [1.0, 0.0]
    """
    return np.asarray(logits.argmax(1) == labels, np.float64)
