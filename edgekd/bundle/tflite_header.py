"""What a TFLite file says of itself, read with flatbuffers alone: ``verify`` needs no TFLite runtime for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.bundle.flatbuffer_tables import DAMAGED, Reader, Schema, root
from edgekd.runtimes.graph import TensorInfo, read_model, refuse

NOUN = "a TFLite model"
IDENTIFIER = b"TFL3"  # bytes 4 to 8
TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8", 17: "int4", 19: "int2"}
MOST_TABLES = 1_000_000  # a language model with a graph for each length has tens of thousands
# TensorFlow Lite's schema (schema.fbs, version 3), which may only grow, as far as it is read here.
SCHEMA: Schema = {
    "Model": {"codes": (1, "[OperatorCode]"), "graphs": (2, "[SubGraph]"), "metadata": (6, "[Metadata]")},
    "OperatorCode": {
        "deprecated_number": (0, "int8"),
        "custom": (1, "bytes"),
        "version": (2, "int32"),
        "number": (3, "int32"),
    },
    "SubGraph": {
        "tensors": (0, "[Tensor]"),
        "inputs": (1, "[int32]"),
        "outputs": (2, "[int32]"),
        "operators": (3, "[Operator]"),
    },
    "Tensor": {
        "shape": (0, "[int32]"),
        "type": (1, "int8"),
        "name": (3, "bytes"),
        "quantization": (4, "Quantization"),
        "shape_signature": (7, "[int32]"),
    },
    "Quantization": {"scales": (2, "[float32]"), "zero_points": (3, "[int64]")},
    "Operator": {"code": (0, "uint32"), "inputs": (1, "[int32]")},
    "Metadata": {"name": (0, "bytes")},
}
Fields = Mapping[str, Any]  # of a table, as Reader gives them


@dataclass(frozen=True, slots=True)
class Call:
    """One operator, or several of one kind that take the same types."""

    number: int  # BuiltinOperator
    version: int  # as the file has it
    custom: str  # the name of one that is not builtin
    types: tuple[str, ...]  # of its inputs
    per_channel: tuple[bool, ...]  # whether each input has a scale for each channel


@dataclass(frozen=True, slots=True)
class Header:
    """Inputs, outputs and operators of the first subgraph, and the names of the file's metadata."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    calls: tuple[Call, ...]  # sorted, each once; of all subgraphs
    metadata: tuple[str, ...]


def read(path: Path) -> Header:
    """Read the header of the file at ``path``.

    Raises:
        BadInputError: not there, not a TFLite file, or damaged.

    """
    content = read_model(path, NOUN)
    if content[4:8] != IDENTIFIER:
        raise refuse(path, NOUN, "it does not have the identifier TFL3")
    try:
        return _header(Reader(SCHEMA, MOST_TABLES).read(root(content), "Model"))
    except DAMAGED as error:
        raise refuse(path, NOUN, f"it is damaged ({type(error).__name__}: {error})") from error


def _header(model: Fields) -> Header:
    codes = [_code(each) for each in model.get("codes", ())]
    graphs = model.get("graphs", ())
    first = graphs[0]
    tensors = [_tensor(each) for each in first.get("tensors", ())]
    calls = {call for graph in graphs for call in _calls(graph, codes)}
    return Header(
        inputs=tuple(tensors[index] for index in first.get("inputs", ())),
        outputs=tuple(tensors[index] for index in first.get("outputs", ())),
        calls=tuple(sorted(calls, key=lambda call: (call.number, call.version, call.types, call.per_channel))),
        metadata=tuple(sorted(_text(each, "name") for each in model.get("metadata", ()))),
    )


def _code(fields: Fields) -> tuple[int, int, str]:
    """Number, version and custom name; old files fill only the 8-bit number."""
    number = max(fields.get("deprecated_number", 0), fields.get("number", 0))
    return number, fields.get("version", 1), _text(fields, "custom")


def _calls(graph: Fields, codes: Sequence[tuple[int, int, str]]) -> Iterator[Call]:
    tensors = graph.get("tensors", ())
    types = [_type(each) for each in tensors]
    per_channel = [len(_quantized(each, "scales")) > 1 for each in tensors]
    for each in graph.get("operators", ()):
        code: int = each.get("code", 0)
        inputs = [index for index in each.get("inputs", ()) if index >= 0]  # -1: left out
        yield Call(
            *codes[code],
            types=tuple(types[index] for index in inputs),
            per_channel=tuple(per_channel[index] for index in inputs),
        )


def _tensor(fields: Fields) -> TensorInfo:
    scales, zeros = _quantized(fields, "scales"), _quantized(fields, "zero_points")
    single = len(scales) == 1
    return TensorInfo(
        _text(fields, "name"),
        tuple(fields.get("shape_signature") or fields.get("shape", ())),
        _type(fields),
        scales[0] if single else None,
        zeros[0] if single and zeros else None,
    )


def _type(fields: Fields) -> str:
    number = fields.get("type", 0)
    return TYPES.get(number, f"type {number}")


def _quantized(fields: Fields, name: str) -> Sequence[Any]:
    found: Sequence[Any] = fields.get("quantization", {}).get(name, ())
    return found


def _text(fields: Fields, name: str) -> str:
    found: bytes = fields.get(name, b"")
    return found.decode("utf-8", "replace")
