"""The products with constant weights of a text encoder: what they read for real texts, and what INT8 costs each.

Where activations are quantized as the file runs ('dynamic'), a range is that of the text, in TFLite of the token. A
fixed one ('static') is that of all texts. It loses most where a feed-forward block goes back to the encoder's width,
as what it reads there has rare, large values; such a product stays dynamic if it loses more than twice as much.

1 - mean cosine to float of all-MiniLM-L6-v2 (500 texts, ranges of 300 others), and speed over float's, one thread of a
busy x86 with VNNI, files of one column in the same turns but for static ones without smoothing:

| | ONNX | | TFLite | |
|---|---|---|---|---|
| dynamic | 0.0064 | 2.45 | 0.0012 | 3.32 |
| dynamic, smoothed | 0.0011 | 2.45 | 0.0006 | 3.32 |
| static | 0.0071 | 2.27 | 0.0058 | 2.74 |
| static, smoothed | 0.0012 | 2.24 | 0.0024 | 2.94 |
| static throughout, smoothed (200 texts) | 0.0013 | | 0.0521 | |

Of the smoothed dynamic ONNX file, 4 of 36 products in float, the first by ``lost_dynamic``, leave 0.0006 of the 0.0011.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.ranges import Range
from edgekd.algorithms.rounding import columns_in_8_bits, in_8_bits, loss_by_channel

LOOKED = 16  # rows by whose tokens losses are told
TIMES = 2.0  # what dynamic loses, that a fixed range may lose in a product that narrows
Values = npt.NDArray[Any]
Rows = Iterable[Mapping[str, Values]]  # tensors (tokens, channels) of a row each, without padding


@dataclass(frozen=True, slots=True)
class Call:
    """A product in a float file: its operator's name, the tensors that it reads and writes, and its constants."""

    name: str
    reads: str
    writes: str
    weights: Values  # (K, N)
    bias: Values | float = 0.0  # (N,), where the operator adds it


@dataclass(slots=True)
class Seen:
    """What a tensor held."""

    low: float = 0.0
    high: float = 0.0
    tokens: list[Values] = field(default_factory=list)

    def add(self, values: Values, *, keep: bool) -> None:
        """Look at a row."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if keep:
            self.tokens.append(values.copy())

    @property
    def range(self) -> Range:
        """From the least to the greatest value, and zero."""
        return self.low, self.high


@dataclass(frozen=True)
class Dense:
    """A product, what it read, and what it wrote if the file's quantizer has to round that too."""

    call: Call
    read: Seen
    wrote: Seen | None
    by_token: bool  # whether a dynamic range is that of a token

    @cached_property
    def lost_dynamic(self) -> float:
        """What its outputs lose with ranges that are taken as the file runs."""
        axis = -1 if self.by_token else None
        rows = [in_8_bits(each, each.min(axis, keepdims=True), each.max(axis, keepdims=True)) for each in self._tokens]
        return loss_by_channel(self._exact, np.concatenate(rows) @ self._rounded)

    @cached_property
    def lost_static(self) -> float:
        """What they lose with fixed ranges."""
        found = in_8_bits(np.concatenate(self._tokens), *self.read.range) @ self._rounded + self.call.bias
        rounded = found if self.wrote is None else in_8_bits(found, *self.wrote.range)
        return loss_by_channel(self._exact, rounded - self.call.bias)

    @property
    def lost_as_static(self) -> float:
        """What they lose in a static file, where some stay dynamic."""
        return self.lost_dynamic if self.stays_dynamic else self.lost_static

    @property
    def stays_dynamic(self) -> bool:
        """Whether a fixed range would lose too much."""
        inputs, outputs = self.call.weights.shape
        return inputs > outputs and self.lost_static > TIMES * self.lost_dynamic

    @property
    def ranges(self) -> dict[str, Range]:
        """Of the tensors that it reads and writes."""
        known = {self.call.reads: self.read, self.call.writes: self.wrote}
        return {name: seen.range for name, seen in known.items() if seen is not None}

    @property
    def _tokens(self) -> list[Values]:
        return self.read.tokens

    @cached_property
    def _exact(self) -> Values:
        found: Values = np.concatenate(self._tokens) @ self.call.weights
        return found

    @cached_property
    def _rounded(self) -> Values:
        return columns_in_8_bits(self.call.weights)


def watched(calls: Sequence[Call], rows: Rows, *, by_token: bool) -> list[Dense]:
    """Return the products with what ``rows`` held of the tensors that they read, and of those that they write."""
    seen: dict[str, Seen] = {}
    for number, row in enumerate(rows):
        for name, values in row.items():
            seen.setdefault(name, Seen()).add(values, keep=number < LOOKED)
    return [Dense(each, seen[each.reads], seen.get(each.writes), by_token) for each in calls]


def most_sensitive_first(products: Iterable[Dense], lost: Callable[[Dense], float]) -> list[str]:
    """Return the names of the products' operators, the one that loses most first."""
    return [each.call.name for each in sorted(products, key=lost, reverse=True)]
