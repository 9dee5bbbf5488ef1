"""Graph: what a model file makes a runtime do, counted without running it."""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekd.errors import BadInputError

Kind = Literal["conv", "depthwise", "dense", "other"]
Length = int | Mapping[str, int]  # of all sizes that a file leaves open, or of each by its name there
DAMAGED = (struct.error, LookupError, TypeError, AttributeError, ValueError, OverflowError, MemoryError)
KINDS: tuple[Kind, ...] = ("conv", "depthwise", "dense", "other")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output; ``scale`` and ``zero_point`` are set where it holds quantized values."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """The shape of a convolution's filters."""

    places: int  # height times width
    inputs: int  # channels that one filter reads: those of its group
    outputs: int  # channels that all filters write


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator that the runtime starts, with what was fused into it."""

    name: str
    op_type: str
    kind: Kind
    macs: int  # multiply-accumulates of one inference
    weights: int  # constants that it reads, in elements
    weight_bytes: int
    bytes_read: int  # activations, without the weights
    bytes_written: int
    int8: bool  # whether it multiplies 8-bit integers
    kernel: Kernel | None = None  # of a convolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A model file's operators in the order in which they run."""

    runtime: Literal["onnxruntime", "tflite"]
    operators: tuple[Operator, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    activation_peak_bytes: int
    weight_bytes: int
    versions: Mapping[str, int]  # operator sets (ONNX) or schema and operators (TFLite) that the file asks for

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(operator.macs for operator in self.operators)

    @property
    def weights(self) -> int:
        """Constants, in elements; one that two operators share counts twice."""
        return sum(operator.weights for operator in self.operators)

    @property
    def int8_share(self) -> float:
        """The share of the multiply-accumulates that are done on 8-bit integers."""
        return sum(operator.macs for operator in self.operators if operator.int8) / max(1, self.macs)

    def by_kind(self) -> dict[Kind, int]:
        """Multiply-accumulates of each kind."""
        return {kind: sum(each.macs for each in self.operators if each.kind == kind) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Step:
    """Which tensors in memory one operator reads and writes."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]


def activation_peak_bytes(steps: Sequence[Step], sizes_bytes: Mapping[str, int], kept: Collection[str]) -> int:
    """The most bytes of activations that are alive at once.

    A tensor lives from the step that writes it (an input: from the start) to the last step that reads it; those in
    ``kept`` (inputs and outputs) live throughout. Nothing is computed in place, so this is an upper bound of what is
    alive at once; an allocator that leaves gaps needs more. Names without a size (weights) are not counted.

    >>> activation_peak_bytes([Step(("a",), ("b",)), Step(("b",), ("c",)), Step(("c",), ("d",))],
    ...                       {"a": 4, "b": 10, "c": 3, "d": 1}, {"a", "d"})
    18
    """
    last = {name: index for index, step in enumerate(steps) for name in (*step.reads, *step.writes)}
    held = sum(sizes_bytes.get(name, 0) for name in set(kept))
    alive: set[str] = set()
    peak = 0
    for index, step in enumerate(steps):
        alive.update(name for name in (*step.reads, *step.writes) if name not in kept)
        peak = max(peak, sum(sizes_bytes.get(name, 0) for name in alive))
        alive = {name for name in alive if last[name] > index}
    return held + peak


def elements(shape: Sequence[int]) -> int:
    """How many values a tensor of ``shape`` holds.

    >>> elements((1, 3, 28, 28))
    2352
    """
    return math.prod(shape)


def read_model(path: Path, noun: str) -> bytes:
    """Read a model file whole.

    Raises:
        BadInputError: it is not there, can't be read or is empty.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInputError(
            f"{path}: found no readable file ({reason}), expected {noun}", "check the path and its permissions"
        ) from error
    if not content:
        raise BadInputError(f"{path}: found an empty file, expected {noun}", "export the model again")
    return content


def text(value: str | bytes) -> str:
    r"""A text of a protocol buffer, which gives bytes where a damaged file has something else than UTF-8 there.

    >>> text("scores"), text(b"sc\xffres") == "sc\N{REPLACEMENT CHARACTER}res"
    ('scores', True)
    """
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def refuse(path: Path, noun: str, reason: str) -> BadInputError:
    """The error for a file that is not what its runtime reads."""
    return BadInputError(f"{path}: found a file that is not {noun}: {reason}", f"give the path of {noun}")


@contextmanager
def refusing_damage(path: Path, noun: str) -> Iterator[None]:
    """Refuse a file in which a number or a name stands for nothing, which its readers tell in DAMAGED ways."""
    try:
        yield
    except DAMAGED as error:
        raise refuse(path, noun, f"it is damaged ({type(error).__name__}: {error})") from error


def refuse_dynamic(path: Path, tensor: str, shape: str) -> BadInputError:
    """The error for a tensor without a fixed shape."""
    return BadInputError(
        f"{path}: found the dynamic shape {shape} of tensor {tensor!r}, expected whole numbers above zero",
        "export the model with fixed input shapes (batch 1)",
    )
