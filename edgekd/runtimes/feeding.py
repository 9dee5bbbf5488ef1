"""Turn a task's inputs into what a model file takes: its names, layout, length and types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import StageError
from edgekd.tasks.base import Arrays, one

TOKEN_TYPES = "token_type_ids"  # noqa: S105 (no password); all zero for single texts, many exported encoders want them


@dataclass(frozen=True, slots=True)
class Wanted:
    """One input of a file; a size that isn't fixed is -1. ``alias`` is the name without what a converter added."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    alias: str = ""
    scale: float = 0.0  # above 0, it takes whole numbers that stand for scale * (whole - zero_point)
    zero_point: int = 0


def feed(wanted: Sequence[Wanted], inputs: Arrays, where: str) -> dict[str, npt.NDArray[np.generic]]:
    """Return an array for each input of a file, by its name.

    An array goes to the input of its name, or to the only one. Images change from channels first to channels last,
    and texts are padded with zeros, where the file's shape asks for it; whole numbers are cast, floats are not.

    Raises:
        StageError: an input that nothing is given for, or an array that doesn't fit.

    """
    return {each.name: _fit(each, _find(each, wanted, inputs, where), where) for each in wanted}


def single_rows(batches: Iterable[Arrays]) -> Iterator[Arrays]:
    """The rows of ``batches``, each as inputs of its own."""
    for batch in batches:
        for row in range(len(next(iter(batch.values())))):
            yield one(batch, row)


def _find(each: Wanted, wanted: Sequence[Wanted], inputs: Arrays, where: str) -> npt.NDArray[np.generic]:
    for name in (each.name, each.alias):
        if name in inputs:
            return inputs[name]
    if len(wanted) == len(inputs) == 1:
        return next(iter(inputs.values()))
    if TOKEN_TYPES in (each.name, each.alias):
        return np.zeros_like(next(iter(inputs.values())))
    raise StageError(f"{where}: found an input {each.name!r}, expected {', '.join(inputs)}")


def _fit(each: Wanted, values: npt.NDArray[np.generic], where: str) -> npt.NDArray[np.generic]:
    if values.ndim == 4 and not _fits(each.shape, values.shape):
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    if values.ndim == 2 and len(each.shape) == 2 and each.shape[1] > values.shape[1]:
        values = np.pad(values, ((0, 0), (0, each.shape[1] - values.shape[1])))
    if values.dtype.kind == "f" and each.scale > 0:
        values = _whole(values, each)
    if values.dtype.kind in "iu" and np.dtype(each.dtype).kind in "iuf":
        values = values.astype(each.dtype)
    if not _fits(each.shape, values.shape):
        found = f"found an input of shape {values.shape}"
        raise StageError(f"{where}: {found}, which {each.name!r} {each.shape} can't take")
    return values


def _whole(values: npt.NDArray[Any], each: Wanted) -> npt.NDArray[np.generic]:
    limits = np.iinfo(each.dtype)
    levels = np.rint(values / np.float32(each.scale)) + each.zero_point
    return np.asarray(np.clip(levels, limits.min, limits.max).astype(each.dtype))


def _fits(shape: tuple[int, ...], found: tuple[int, ...]) -> bool:
    return len(shape) == len(found) and all(size in (-1, have) for size, have in zip(shape, found, strict=True))
