"""A teacher's outputs on disk: written in shards, resumed at the first missing one, read through a memory map.

Row p of view v of the fitted rows stands at v * fitted + p; the rows kept for choosing follow after the last view.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekd.errors import StageError

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Precision = Literal["float16", "float32"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How outputs are packed: ``top_k`` keeps the largest logits of each row, and the sum of the rest."""

    precision: Precision = "float16"
    top_k: int | None = None

    def pack(self, outputs: Floats) -> npt.NDArray[Any]:
        """Pack outputs (rows, width).

        Raises:
            StageError: a value that is no number, or too large for float16.

        """
        if not np.isfinite(outputs).all():
            raise StageError(f"the teacher gave NaN or infinite outputs for {_bad_rows(outputs)} rows")
        if self.top_k is None or self.top_k >= outputs.shape[1]:
            return self._narrowed(outputs)
        index = np.argpartition(outputs, -self.top_k, axis=1)[:, -self.top_k :]
        packed = np.empty(len(outputs), self._fields())
        packed["index"] = index
        packed["value"] = self._narrowed(np.take_along_axis(outputs, index, 1))
        rest = outputs.astype(np.float64)
        np.put_along_axis(rest, index, -np.inf, 1)
        packed["rest"] = _log_sum_exp(rest)
        return packed

    def _fields(self) -> list[Any]:
        return [("value", self.precision, (self.top_k,)), ("index", "uint32", (self.top_k,)), ("rest", "float32")]

    def _narrowed(self, values: Floats) -> npt.NDArray[Any]:
        with np.errstate(over="ignore"):
            narrowed = values.astype(self.precision)
        if not np.isfinite(narrowed).all():
            raise StageError(
                f"the teacher gave outputs up to {np.abs(values).max():g}, which {self.precision} can't hold",
                'set precision = "float32" in [teacher_outputs]',
            )
        return narrowed


def unpack(packed: npt.NDArray[Any], width: int) -> Floats:
    """Outputs (rows, width) out of packed rows; logits that were left out share what the rest summed up to.

    exp(rest) is the sum of exp over the ones left out, so the softmax of those that were kept is unchanged at T = 1.
    """
    if packed.dtype.names is None:
        return packed.astype(np.float32)
    kept = packed["index"].shape[1]
    outputs = np.repeat((packed["rest"] - np.log(width - kept))[:, None], width, axis=1)
    np.put_along_axis(outputs, packed["index"].astype(np.int64), packed["value"].astype(np.float32), 1)
    return outputs


@dataclass(frozen=True, slots=True)
class Shards:
    """The parts of ``total`` rows, each a file in ``folder`` until all are there."""

    folder: Path
    total: int
    rows: int

    def __len__(self) -> int:
        return (self.total + self.rows - 1) // self.rows

    def missing(self) -> list[int]:
        """The shards that are still to be made."""
        return [number for number in range(len(self)) if not self._path(number).is_file()]

    def span(self, number: int) -> range:
        """The rows of a shard."""
        return range(number * self.rows, min((number + 1) * self.rows, self.total))

    def keep(self, number: int, outputs: Floats, packed: npt.NDArray[Any]) -> None:
        """Write one shard, whole or not at all, and beside it how wide its rows were and what packing changed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        note = {"width": outputs.shape[1], "error": largest_error(outputs, packed)}
        self._path(number).with_suffix(".json").write_text(json.dumps(note))
        partial = self.folder / f"{number}.partial.npy"
        np.save(partial, packed)
        os.replace(partial, self._path(number))

    def width_and_error(self) -> tuple[int, float]:
        """The width of the outputs, and the largest error that packing made in any shard."""
        found = [json.loads(self._path(number).with_suffix(".json").read_text()) for number in range(len(self))]
        return int(found[0]["width"]), max(float(each["error"]) for each in found)

    def join(self, target: Path) -> None:
        """Copy all shards into one file, one after another."""
        first = np.load(self._path(0), mmap_mode="r")
        whole = np.lib.format.open_memmap(target, "w+", first.dtype, (self.total, *first.shape[1:]))
        for number in range(len(self)):
            span = self.span(number)
            whole[span.start : span.stop] = np.load(self._path(number), mmap_mode="r")
        whole.flush()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.npy"


@dataclass(frozen=True, slots=True)
class CachedOutputs:
    """Read access to what a teacher gave; only the rows that are asked for come into memory."""

    packed: npt.NDArray[Any]
    width: int
    views: int
    fitted: int

    @classmethod
    def open(cls, path: Path, facts: Mapping[str, Any]) -> CachedOutputs:
        """Map the file of a ``teacher_outputs`` artifact."""
        return cls(np.load(path, mmap_mode="r"), facts["width"], facts["views"], facts["fitted"])

    def fit(self, view: int, positions: Rows) -> Floats:
        """Outputs (B, width) of the fitted rows at ``positions`` in a view."""
        return unpack(self.packed[view * self.fitted + positions], self.width)

    def selection(self) -> Floats:
        """Outputs of the rows that are kept for choosing."""
        return unpack(np.asarray(self.packed[self.views * self.fitted :]), self.width)


def largest_error(outputs: Floats, packed: npt.NDArray[Any]) -> float:
    """Largest absolute difference that packing made to the values that it kept."""
    if packed.dtype.names is None:
        return float(np.abs(outputs - packed.astype(np.float32)).max(initial=0.0))
    kept = np.take_along_axis(outputs, packed["index"].astype(np.int64), 1)
    return float(np.abs(kept - packed["value"].astype(np.float32)).max(initial=0.0))


def each_row(make: Callable[[Rows, int], Floats], span: range, fitted: int, views: int) -> Floats:
    """Make the outputs of a span of rows: ``make(positions, view)``, view -1 being the rows kept for choosing."""
    parts = []
    for view in (*range(views), -1):
        start = (views if view == -1 else view) * fitted
        first = max(span.start - start, 0)
        last = span.stop - start if view == -1 else min(span.stop - start, fitted)
        if first < last:
            parts.append(make(np.arange(first, last), view))
    return np.concatenate(parts)


def _log_sum_exp(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    largest = values.max(1, keepdims=True)
    return np.asarray((np.log(np.exp(values - largest).sum(1, keepdims=True)) + largest)[:, 0])


def _bad_rows(outputs: Floats) -> int:
    return int((~np.isfinite(outputs)).any(1).sum())
