"""Golden vectors: real inputs, what they are as tensors, and what each model gives for them.

On disk, so that any language reads it with a JSON parser and a file read:

    golden/golden.json            GoldenIndex
    golden/raw/000.png, 000.txt   the raw input, UTF-8 text without a newline at the end
    golden/tensors/*.bin          little-endian values of one tensor, C order, nothing else
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd.bundle.manifest import DType, Place
from edgekd.toml_file import Frozen

INDEX = "golden/golden.json"
TYPES = {"float32": "<f4", "float16": "<f2", "int8": "|i1", "uint8": "|u1", "int32": "<i4", "int64": "<i8"}


class Stored(Frozen):
    """One tensor in a file of its own."""

    name: str  # of the model's input or output
    file: Place
    dtype: DType
    shape: tuple[int, ...]


class Expected(Frozen):
    """What one model file takes and gives for one item."""

    inputs: tuple[Stored, ...]
    outputs: tuple[Stored, ...]  # as the x86-64 host gave them


class Item(Frozen):
    """One real input."""

    raw: Place | None  # None for a task of the user's own
    label: str | None = None  # the true one, where there is one
    models: dict[str, Expected]  # by model file


class Tolerance(Frozen):
    """How far an output may lie from the golden one, on one instruction set."""

    isa: Literal["x86_64", "arm64", "wasm", "any"]
    max_abs: Annotated[float, Field(ge=0)]  # in the output's own units, after scale and zero point
    top1: bool  # whether the largest logit must be the same one, unless the golden runner-up is within max_abs
    cosine: float | None = None  # least cosine, for vectors
    because: str


class GoldenIndex(Frozen):
    """golden/golden.json."""

    format_version: Literal[1] = 1
    items: Annotated[tuple[Item, ...], Field(min_length=1)]
    tolerances: dict[str, tuple[Tolerance, ...]]  # by model file
    made_on: str  # processor and runtime versions that gave the golden outputs


def load(root: Path, stored: Stored) -> npt.NDArray[Any]:
    """Read one tensor of the bundle at ``root``.

    Raises:
        ValueError: the file has another size than shape and type say.

    """
    values = np.frombuffer((root / stored.file).read_bytes(), TYPES[stored.dtype])
    return values.reshape(stored.shape)
