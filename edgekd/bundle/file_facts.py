"""Whether a model file is what the manifest says: its bytes, its inputs and outputs, and what it asks of a runtime."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekd.bundle import least_versions, tflite_header
from edgekd.bundle.manifest import Model, Tensor
from edgekd.errors import BadInputError
from edgekd.runtimes.graph import TensorInfo, read_model, refuse, text

SUFFIX = {"onnx": ".onnx", "tflite": ".tflite"}
NOUN = "an ONNX model"
VERSION = re.compile(r"\d{1,9}(\.\d{1,9})*")  # what can be compared


def differences(model: Model, path: Path) -> tuple[str, ...]:
    """What ``model`` of the manifest says and the file at ``path`` does not; nothing where all is as it says."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return (f"it can't be read: {error.strerror}",)
    if path.suffix != SUFFIX[model.format]:
        return (f"the manifest calls it {model.format}, its name ends in {path.suffix or 'nothing'}",)
    if hashlib.sha256(content).hexdigest() != model.sha256 or len(content) != model.size_bytes:
        return ("the manifest has the SHA-256 or size of another file",)
    try:
        inputs, outputs = tensors(path)
        needed = least_versions.minimum(path)
    except BadInputError as error:
        return (error.message,)
    return (
        *_tensors("input", model.inputs, inputs),
        *_tensors("output", model.outputs, outputs),
        *_minimum(model, {each.runtime: each.version for each in needed}),
    )


def tensors(path: Path) -> tuple[Sequence[TensorInfo], Sequence[TensorInfo]]:
    """Inputs and outputs as the file has them; -1 is any size.

    Raises:
        BadInputError: the file is damaged.

    """
    if path.suffix == ".tflite":
        header = tflite_header.read(path)
        return header.inputs, header.outputs
    return _onnx(path)


def _onnx(path: Path) -> tuple[Sequence[TensorInfo], Sequence[TensorInfo]]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        graph = onnx.ModelProto.FromString(read_model(path, NOUN)).graph
    except DecodeError as error:
        raise refuse(path, NOUN, str(error)) from error
    constants = {each.name for each in graph.initializer}
    inputs = [_value(each) for each in graph.input if each.name not in constants]
    return inputs, [_value(each) for each in graph.output]


def _value(value: Any) -> TensorInfo:
    import onnx

    kind = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim)
    known = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
    name = known.get(kind.elem_type, f"type {kind.elem_type}")
    return TensorInfo(text(value.name), shape, {"float": "float32", "double": "float64"}.get(name, name))


def _tensors(noun: str, told: Sequence[Tensor], found: Sequence[TensorInfo]) -> Iterator[str]:
    names = [each.name for each in told]
    if names != [each.name for each in found]:
        yield f"{noun}s: the manifest says {', '.join(names)}, the file {', '.join(each.name for each in found)}"
        return
    for each, real in zip(told, found, strict=True):
        shape = tuple(None if size == -1 else size for size in real.shape)
        for what, says, has in (
            ("shape", list(each.shape), list(shape)),
            ("type", each.dtype, real.dtype),
            # ONNX has no scale at a tensor: it stands in the operator behind, for each its own
            *((("scale", each.scale, real.scale), ("zero point", each.zero_point, real.zero_point)) * _scaled(real)),
        ):
            if says != has:
                yield f"{noun} {each.name!r}: the manifest says {what} {says}, the file {has}"


def _scaled(real: TensorInfo) -> bool:
    return real.scale is not None and "int" in real.dtype


def _minimum(model: Model, needed: dict[str, str]) -> Iterator[str]:
    claimed = {each.runtime: each.version for each in model.minimum}
    for runtime, version in needed.items():
        if runtime not in claimed:
            yield f"the manifest says no least version of {runtime}; the file needs {version}"
        elif not VERSION.fullmatch(claimed[runtime]) or least_versions.older(claimed[runtime], version):
            yield f"the manifest says {runtime} {claimed[runtime]} is enough; the file needs {version}"
    for runtime in claimed.keys() - needed.keys():
        yield f"the manifest says {runtime} {claimed[runtime]} is enough; no version of it is known to be"
