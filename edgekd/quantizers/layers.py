"""Equalization and bias correction of a float file, whatever its format: its layers in one form, and what changes.

What they gave, as mean cosine to float of rows that calibration didn't see, in ONNX on an x86 with VNNI (min-max, the
best range of each; 48 rows for EfficientNet-Lite0, 60 for the default pipeline's teacher, which has ReLU and 3 pairs):

| | EfficientNet-Lite0 | teacher | teacher, one scale for a layer's weights |
|---|---|---|---|
| range alone | 0.99350 | 0.99992 | 0.99990 |
| equalized | 0.99289 | 0.99983 | 0.99983 |
| biases corrected | 0.99707 | 0.99992 | 0.99991 |

Equalization pays where a network's channels are far apart, as those of tests/quantizers/test_layers.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.bias_correction import Window, mean_outputs
from edgekd.algorithms.equalization import Linear, Values, equalized
from edgekd.tasks.base import Arrays

Means = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or dense layer by its operator's name, and the tensor that it reads."""

    name: str
    reads: str
    linear: Linear
    window: Window


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Pairs of layers with nothing between that forbids scaling; and the first layers of others, by what does."""

    pairs: Sequence[tuple[str, str]]
    left: Mapping[str, Sequence[str]]


class File(Protocol):
    """A float file whose layers can be changed."""

    @property
    def layers(self) -> Mapping[str, Layer]:
        """By name."""

    def neighbours(self) -> Neighbours:
        """Which can be equalized."""

    def mean_inputs(self, rows: Arrays) -> Means:
        """What each layer reads, (channels, height, width): the mean over ``rows``."""

    def rounded(self, path: Path) -> Mapping[str, npt.NDArray[Any]]:
        """The weights (O, I / groups, H, W) that the layers have in an INT8 file that was made of this one."""

    def change(self, name: str, weights: Values | None, bias: Values | None) -> None:
        """Give a layer other weights (O, I / groups, H, W) or another bias (O,); None keeps what there is."""

    def save(self, target: Path) -> None:
        """Write the file as it is now."""


def equalize(file: File) -> None:
    """Give all pairs of neighbours ranges that are alike; in float the file computes what it did."""
    linear = {name: layer.linear for name, layer in file.layers.items()}
    for name, made in equalized(linear, file.neighbours().pairs).items():
        file.change(name, made.weights, made.bias)


def correct_biases(file: File, rounded: Mapping[str, npt.NDArray[Any]], inputs: Means) -> None:
    """Take off each layer's bias what rounding its weights adds to its outputs on average, over rows and positions.

    Each layer is corrected by itself, for the inputs that it has in float. For those that it has in INT8, all layers at
    once, every layer behind an error takes it off again: of EfficientNet-Lite0 that left 1 - cosine to float at 0.17,
    though only half of it was taken off; this way it is 0.0032, and without any correction 0.0065 (ONNX, 166 crops,
    ranges of least squared error from 40 others).
    Source: Nagel et al. 2019, Data-Free Quantization, section 4.2, https://arxiv.org/abs/1906.04721, there of means
    that batch normalisation tells
    """
    for name, layer in file.layers.items():
        error = mean_outputs(rounded[name] - layer.linear.weights, inputs[name], layer.window)
        bias = np.zeros(len(error)) if layer.linear.bias is None else layer.linear.bias
        file.change(name, None, (bias - error).astype(np.float32))
