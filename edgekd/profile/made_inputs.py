"""Made inputs: rows for a file whose data isn't there, always the same: random numbers, ids in range, masks of ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import BadInputError, nearest
from edgekd.runtimes.asked import Asked

SEED = 0
Arrays = Mapping[str, npt.NDArray[Any]]


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read what was given as ``--shape NAME=1,128``.

    >>> parse_shapes(["input_ids=1,128"])
    {'input_ids': (1, 128)}

    Raises:
        BadInputError: no name, no sizes, or sizes below one.

    """
    found = {}
    for text in texts:
        match = re.fullmatch(r"(.+?)\s*=\s*(\d+(?:\s*,\s*\d+)*)", text)
        sizes = tuple(int(size) for size in match[2].split(",")) if match else ()
        if match is None or min(sizes) < 1:
            raise BadInputError(
                f"--shape: found {text!r}, expected a name and sizes above zero", "write for example --shape x=1,128"
            )
        found[match[1]] = sizes
    return found


def make(path: Path, wanted: Sequence[Asked], shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """An array for each input of the file at ``path``; ``shapes`` has those that the file leaves open.

    Raises:
        BadInputError: a size is open, or doesn't fit the file, or is of an input that there isn't.

    """
    names = [each.name for each in wanted]
    for name in shapes:
        if name not in names:
            raise BadInputError(f"--shape: found the input {name!r}, which {path} doesn't have", nearest(name, names))
    generator = np.random.default_rng(SEED)
    return {each.name: _values(each, _sizes(path, each, shapes.get(each.name)), generator) for each in wanted}


def told(wanted: Sequence[Asked], arrays: Arrays) -> list[str]:
    """What was made, a line for each input."""
    return [f"{each.name} {each.dtype} {_text(arrays[each.name].shape)}: {_kind(each)}" for each in wanted]


def _sizes(path: Path, each: Asked, given: tuple[int, ...] | None) -> tuple[int, ...]:
    fits = given is not None and len(given) == len(each.shape)
    if given is not None and not (
        fits and all(size in (have, -1) or isinstance(have, str) for size, have in zip(given, each.shape, strict=True))
    ):
        raise BadInputError(f"--shape: found {_text(given)} for {each.name!r}, which is {_text(each.shape)} in {path}")
    sizes = each.shape if given is None else given
    for place, size in enumerate(sizes):
        if isinstance(size, str):
            example = ",".join("1" if isinstance(have, str) else str(have) for have in each.shape)
            raise BadInputError(
                f"{path}: found the input {each.name!r} of shape {_text(each.shape)}, whose size {size!r} "
                f"(dimension {place}) isn't fixed, expected whole numbers",
                f"say how large it is, for example --shape '{each.name}={example}'",
            )
    return tuple(int(size) for size in sizes)


def _values(each: Asked, sizes: tuple[int, ...], generator: np.random.Generator) -> npt.NDArray[Any]:
    dtype = np.dtype("float32" if each.dtype == "bfloat16" else each.dtype)
    if _is_mask(each):
        return np.ones(sizes, dtype)
    if _is_segment(each):
        return np.zeros(sizes, dtype)
    if dtype.kind == "f":
        return generator.standard_normal(sizes).astype(dtype)
    if each.ids is not None:
        return generator.integers(0, each.ids, sizes).astype(dtype)
    if dtype.itemsize == 1:
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, sizes, endpoint=True).astype(dtype)
    return generator.integers(0, 2, sizes).astype(dtype)


def _kind(each: Asked) -> str:
    if _is_mask(each):
        return "ones"
    if _is_segment(each):
        return "zeros"
    if each.dtype.startswith(("float", "bfloat")):
        return "random, normally distributed"
    if each.ids is not None:
        return f"random ids below {each.ids:,}"
    return "random, of all 8-bit values" if each.dtype in {"int8", "uint8"} else "random zeros and ones"


def _is_mask(each: Asked) -> bool:
    return each.dtype == "bool" or ("mask" in each.name.lower() and not each.dtype.startswith("float"))


def _is_segment(each: Asked) -> bool:
    return "token_type" in each.name or "segment" in each.name


def _text(shape: Sequence[int | str]) -> str:
    return "x".join(str(size) for size in shape) or "a single value"
