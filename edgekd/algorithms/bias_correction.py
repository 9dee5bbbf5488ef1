"""Bias correction: what rounding adds to a layer's outputs on average, which its bias can take off again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """How a convolution moves over height and width: steps, zeros before and behind, and gaps between its taps."""

    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilations: Pair = (1, 1)
    groups: int = 1


def means(rows: Iterable[Mapping[str, npt.NDArray[Any]]]) -> dict[str, Values]:
    """Return the mean of each tensor over ``rows``, element by element; each row is dropped before the next.

    >>> means([{"x": np.array([1.0, 2.0])}, {"x": np.array([3.0, 2.0])}])["x"].tolist()
    [2.0, 2.0]
    """
    sums: dict[str, Values] = {}
    count = 0
    for row in rows:
        count += 1
        for name, values in row.items():
            sums[name] = sums[name] + values if name in sums else values.astype(np.float64)
    return {name: total / count for name, total in sums.items()}


def mean_outputs(weights: npt.NDArray[Any], inputs: npt.NDArray[Any], window: Window) -> Values:
    """Return the mean over all positions of what a convolution makes of ``inputs``, (O,), without its bias.

    ``weights`` is (O, C / groups, height, width), ``inputs`` (C, H, W). A convolution is linear: of the mean of many
    rows it makes the mean of what it makes of each. So mean outputs of a whole data set cost one small sum for each tap
    of the window: its weights times the mean of the inputs that it meets.

    >>> weights = np.ones((1, 1, 1, 2))
    >>> mean_outputs(weights, np.array([[[1.0, 2.0, 6.0]]]), Window())  # 1 + 2 and 2 + 6
    array([5.5])
    """
    (high, wide), (down, right) = weights.shape[2:], window.dilations
    padded = np.pad(np.asarray(inputs, np.float64), ((0, 0), *window.padding))
    rows, columns = padded.shape[1] - (high - 1) * down, padded.shape[2] - (wide - 1) * right
    grouped = np.asarray(weights, np.float64).reshape(window.groups, -1, *weights.shape[1:])
    outputs = np.zeros(grouped.shape[:2])
    for top, left in np.ndindex(high, wide):
        met = padded[:, top * down :, left * right :][:, : rows : window.strides[0], : columns : window.strides[1]]
        outputs += np.einsum("goi,gi->go", grouped[..., top, left], met.mean((1, 2)).reshape(window.groups, -1))
    return outputs.ravel()
