"""Image classification: bytes in, one logit a class out, scored by top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms import shift
from edgekd.data import images
from edgekd.data.dataset import DataSet, check
from edgekd.data.dataset import Split as DataSplit
from edgekd.data.sources import DataConfig, source
from edgekd.data.views import AugmentConfig, view
from edgekd.tasks.base import Arrays, Outputs, Rows, Scored, Split, Task

__all__ = ["DEFAULTS", "NAME", "OUTPUTS", "DataConfig", "open_task", "source"]  # what a task's module defines

NAME = "image-classification"
OUTPUTS = Outputs.LOGITS
DEFAULTS: Mapping[str, Mapping[str, Any]] = {}  # the steps' own defaults are those of this task
MEAN, SCALE = 127.5, 127.5  # [0, 255] -> [-1, 1], the range that mobile models and MediaPipe expect


def open_task(data: DataSet, config: DataConfig, _tokenizer: Path | None, _scratch: Path) -> Task:
    """Bind images to the task."""
    return ImageClassification(check(data), config.selection)


class ImageClassification(Task):
    """Images of one size, each of one class."""

    metric = "top-1 accuracy"
    row = item = "image"
    raw_suffix = ".png"

    def __init__(self, data: DataSet, selection: int, augment: AugmentConfig | None = None) -> None:
        self.data = data
        self.selection = selection
        self.augment = augment or AugmentConfig()
        self.title, self.classes, self.problems = data.title, data.classes, getattr(data, "problems", ())

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The training images' classes."""
        return self.data.train.labels

    @property
    def test_labels(self) -> npt.NDArray[np.int64]:
        """The test images' classes."""
        return self.data.test.labels

    def raw(self, split: Split, row: int) -> bytes | None:
        """The image as a PNG; None for one of other numbers than whole ones."""
        return images.png(self._images(split)[row])

    def count(self, split: Split) -> int:
        """How many images a split has."""
        return len(self._images(split))

    def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
        """Prepared images; the views are of the training split alone."""
        return {"image": prepare(_view(self._images(split), rows, view, self.augment))}

    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        """1 for each image whose largest logit is its class's, else 0."""
        labels = self.data.test.labels
        return Scored(correct(outputs, labels), {"labels": labels})

    def augmented(self, augment: AugmentConfig) -> Task:
        """The same images with views."""
        return ImageClassification(self.data, self.selection, augment)

    def shifts(self) -> Mapping[str, tuple[float, ...]]:
        """Noise, blur, brightness, darkness."""
        return {name: each.levels for name, each in shift.IMAGE_SHIFTS.items()}

    def under(self, kind: str | None, level: float, items: int, seed: int) -> Task:
        """The first test images, put under a shift."""
        images, labels = self.data.test.images[:items], self.data.test.labels[:items]
        shown = images if kind is None else shift.shifted(kind, level, images, seed)
        return ImageClassification(replace(self.data, test=DataSplit(shown, labels)), self.selection)

    def _images(self, split: Split) -> npt.NDArray[Any]:
        outside = self.data.out_of_domain
        if split == "out_of_domain":
            return self.data.test.images[:0] if outside is None else outside
        return (self.data.train if split == "train" else self.data.test).images


_view = view  # the method's parameter hides the function's name


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
