"""Cut the vendored class-balanced subset out of the full Fashion-MNIST (MIT licence).

    apt-get install dataset-fashion-mnist
    python scripts/make_fashion_mnist_subset.py

The first 1,350 training and the first 200 test images of each class, in their original order, as
xz-compressed IDX files (xz needs 14 % less than the gzip of the original).
"""

from __future__ import annotations

import argparse
import gzip
import lzma
from pathlib import Path

import numpy as np
import numpy.typing as npt

PER_CLASS = {"train": 1350, "t10k": 200}
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def write_idx(path: Path, values: npt.NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(lzma.compress(header + values.tobytes(), format=lzma.FORMAT_XZ, filters=FILTERS))


def balanced(labels: npt.NDArray[np.uint8], per_class: int) -> npt.NDArray[np.int64]:
    rows = [np.flatnonzero(labels == label)[:per_class] for label in range(10)]
    return np.sort(np.concatenate(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path("edgekd/assets"))
    options = parser.parse_args()
    for split, per_class in PER_CLASS.items():
        images = read_idx(options.data / f"{split}-images-idx3-ubyte.gz")
        labels = read_idx(options.data / f"{split}-labels-idx1-ubyte.gz")
        rows = balanced(labels, per_class)
        name = "test" if split == "t10k" else split
        write_idx(options.out / f"fashion-mnist-subset-{name}-images.idx.xz", images[rows])
        write_idx(options.out / f"fashion-mnist-subset-{name}-labels.idx.xz", labels[rows])
        print(f"{name}: {len(rows)} images, {per_class} of each class")


if __name__ == "__main__":
    main()
