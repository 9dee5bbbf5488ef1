"""Cross-layer equalization: the same function, with weights that 8 bits hold better.

Weights of a layer are (outputs, inputs / groups, height, width), as a convolution has them; a dense layer's window is
1 x 1, and a depthwise convolution has as many groups as inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
MOST_ROUNDS = 20
NEAR = 1.01  # a scale that changes nothing any more


@dataclass(frozen=True, slots=True)
class Linear:
    """What a layer multiplies with and adds: ``weights`` (O, I / groups, H, W) and ``bias`` (O,)."""

    weights: Values
    bias: Values | None
    groups: int = 1

    @property
    def inputs(self) -> int:
        """How many channels it reads."""
        return int(self.weights.shape[1]) * self.groups


def equalized(layers: Mapping[str, Linear], pairs: Sequence[tuple[str, str]]) -> dict[str, Linear]:
    """Return the layers of ``pairs`` (first, second) with ranges of weights that are alike on both sides of a channel.

    Channel i leaves the first layer divided by s_i and is multiplied by it in the second:

        s_i = sqrt(r1_i / r2_i), r1_i = max |first's weights of output i|, r2_i = max |second's weights of input i|

    so that both become sqrt(r1_i r2_i). What lies between the two must let a positive factor through, as ReLU does
    and ReLU6 doesn't. Layers may stand in several pairs, so all pairs are gone through until nothing moves. A channel
    whose weights are all zero on one side is left as it is.
    Source: Nagel et al. 2019, Data-Free Quantization, equation 11, https://arxiv.org/abs/1906.04721

    >>> first = Linear(np.float32([[16], [1]]).reshape(2, 1, 1, 1), np.float32([8, 1]))
    >>> second = Linear(np.float32([[1, 1]]).reshape(1, 2, 1, 1), None)
    >>> made = equalized({"a": first, "b": second}, [("a", "b")])
    >>> made["a"].weights.ravel().tolist(), made["a"].bias.tolist(), made["b"].weights.ravel().tolist()
    ([4.0, 1.0], [2.0, 1.0], [4.0, 1.0])
    """
    made = {name: layers[name] for pair in pairs for name in pair}
    for _ in range(MOST_ROUNDS):
        moved = 1.0
        for before, behind in pairs:
            scales = _scales(_output_peaks(made[before]), _input_peaks(made[behind]))
            made[before], made[behind] = (
                _outputs_times(made[before], np.reciprocal(scales)),
                _inputs_times(made[behind], scales),
            )
            moved = max(moved, float(scales.max()), float((1 / scales).max()))
        if moved < NEAR:
            break
    return made


def _scales(first: Values, second: Values) -> Values:
    used = (first > 0) & (second > 0)
    return np.sqrt(np.where(used, first, 1) / np.where(used, second, 1)).astype(np.float32)


def _output_peaks(layer: Linear) -> Values:
    found: Values = np.abs(layer.weights).reshape(len(layer.weights), -1).max(axis=1)
    return found


def _input_peaks(layer: Linear) -> Values:
    grouped = np.abs(layer.weights).reshape(layer.groups, -1, layer.weights.shape[1], layer.weights[0, 0].size)
    found: Values = grouped.max(axis=(1, 3)).ravel()
    return found


def _outputs_times(layer: Linear, factors: Values) -> Linear:
    bias = None if layer.bias is None else layer.bias * factors
    return replace(layer, weights=layer.weights * factors[:, None, None, None], bias=bias)


def _inputs_times(layer: Linear, factors: Values) -> Linear:
    of_outputs = np.repeat(factors.reshape(layer.groups, -1), len(layer.weights) // layer.groups, axis=0)
    return replace(layer, weights=layer.weights * of_outputs[:, :, None, None])
