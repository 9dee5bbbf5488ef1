"""How far a runtime's outputs lie from the golden ones, and whether that is within the tolerance."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.bundle.golden import Tolerance
from edgekd.bundle.manifest import Tensor

Array = npt.NDArray[Any]
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Closeness:
    """One model on one runtime: the largest difference over all vectors, and what is beyond the tolerance."""

    vectors: int
    max_abs: float
    cosine: float | None  # the least one, where there is a limit on it
    misses: tuple[str, ...]


def tolerance(found: Sequence[Tolerance], machine: str = "") -> Tolerance | None:
    """The one for this machine's instruction set, else the one for any; none where there is neither.

    >>> tolerance([], "riscv64") is None
    True
    """
    isa = MACHINES.get((machine or platform.machine()).lower(), "any")
    by_isa = {each.isa: each for each in found}
    return by_isa.get(isa, by_isa.get("any"))  # type: ignore[call-overload, no-any-return]


def closeness(
    tensors: Sequence[Tensor],
    golden: Sequence[Mapping[str, Array]],
    found: Sequence[Mapping[str, Array]],
    within: Tolerance,
) -> Closeness:
    """Compare each vector's outputs by name; both as the file stores them."""
    largest, least, misses = 0.0, 1.0, []
    for number, (expected, given) in enumerate(zip(golden, found, strict=True)):
        for tensor in tensors:
            compared = _compare(tensor, expected[tensor.name], given.get(tensor.name), within)
            largest = max(largest, compared.max_abs)
            least = min(least, compared.cosine)
            misses += [f"vector {number}, output {tensor.name!r}: {miss}" for miss in compared.misses]
    return Closeness(len(golden), largest, least if within.cosine is not None else None, tuple(misses))


@dataclass(frozen=True, slots=True)
class _Compared:
    max_abs: float
    cosine: float
    misses: tuple[str, ...]


def _compare(tensor: Tensor, golden: Array, found: Array | None, within: Tolerance) -> _Compared:
    if found is None:
        return _Compared(0.0, 1.0, ("the runtime gives no such output",))
    if found.shape != golden.shape or found.dtype != golden.dtype:
        wrong = f"{found.dtype} {list(found.shape)}, expected {golden.dtype} {list(golden.shape)}"
        return _Compared(0.0, 1.0, (f"found {wrong}",))
    expected, given = _real(tensor, golden), _real(tensor, found)
    if not np.isfinite(given).all():
        return _Compared(float("inf"), 0.0, ("found numbers that are not finite",))
    apart = float(np.abs(given - expected).max(initial=0.0))
    cosine = _cosine(expected, given)
    return _Compared(apart, cosine, tuple(_misses(tensor, expected, given, within, apart, cosine)))


def _misses(
    tensor: Tensor, expected: Array, given: Array, within: Tolerance, apart: float, cosine: float
) -> Iterator[str]:
    if not apart <= within.max_abs:  # a golden value that is no number is as far off as can be
        yield f"{apart:.6g} off, at most {within.max_abs:.6g} is allowed"
    if within.cosine is not None and not cosine >= within.cosine:
        yield f"cosine {cosine:.6g}, at least {within.cosine:.6g} is asked for"
    if within.top1 and tensor.role == "logits":
        top, answer = int(expected.argmax()), int(given.argmax())
        behind = float(expected.flat[top] - expected.flat[answer])
        if behind > within.max_abs:
            yield f"answer {answer}, expected {top}"


def _real(tensor: Tensor, values: Array) -> Array:
    real = values.astype(np.float64)
    return real if tensor.scale is None else tensor.scale * (real - (tensor.zero_point or 0))


def _cosine(first: Array, second: Array) -> float:
    """1 for equal directions; two zero vectors have the same."""
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    if length == 0.0:
        return float(not first.any() and not second.any())
    return float(first.reshape(-1) @ second.reshape(-1)) / length
