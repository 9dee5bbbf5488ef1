"""A data set that is real but tiny: what the pipelines of the tests learn from. tinynet.py has the models.

The tests that start ``edgekd`` copy this file into their working folder, as a user's own module would lie there.
"""

from __future__ import annotations

import numpy as np

from edgekd.data.dataset import DataSet, Split

CLASSES = ("row", "column", "diagonal")
SIZE = 12
TRAIN, TEST, OUTSIDE = 240, 60, 20


def data() -> DataSet:
    noise = np.random.default_rng(4).integers(0, 90, (OUTSIDE, SIZE, SIZE, 1)).astype(np.uint8)
    return DataSet("tiny bars", CLASSES, bars(TRAIN, 1), bars(TEST, 2), "made up", out_of_domain=noise)


def bars(count: int, seed: int) -> Split:
    """Noise with one bright bar: a row, a column or a diagonal, the same number of each."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 90, (count, SIZE, SIZE, 1))
    labels = np.arange(count) % len(CLASSES)
    along = np.arange(SIZE)
    for image, label in zip(images[..., 0], labels, strict=True):
        place = int(generator.integers(SIZE))
        rows = (np.full(SIZE, place), along, (along + place) % SIZE)[label]
        columns = (along, np.full(SIZE, place), along)[label]
        image[rows, columns] += 120
    return Split(images.astype(np.uint8), labels.astype(np.int64))


def swapped() -> DataSet:
    """Other bars, whose rows are called columns and whose columns rows, in classes of another order."""
    train = bars(180, 3)
    return DataSet("swapped bars", ("diagonal", "row", "column"), Split(train.images, 2 - train.labels), train)


def tested() -> DataSet:
    """The test images to train on."""
    return DataSet("tested bars", CLASSES, bars(TEST, 2), bars(TEST, 1))
