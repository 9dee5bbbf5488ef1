"""What a TFLite file says of itself, read with flatbuffers alone: ``verify`` needs no TFLite runtime for it.

The numbers are the places of fields in TensorFlow Lite's schema (schema.fbs, version 3), which may only grow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flatbuffers import encode, number_types
from flatbuffers.table import Table

from edgekd.runtimes.graph import TensorInfo, read_model, refuse

NOUN = "a TFLite model"
IDENTIFIER = b"TFL3"  # bytes 4 to 8
TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8", 17: "int4", 19: "int2"}
# what flatbuffers raises where a number in the file points outside of it
DAMAGED = (struct.error, IndexError, TypeError, ValueError, OverflowError, MemoryError, AssertionError, RecursionError)
T = TypeVar("T")


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
        return _header(_Node.root(content))
    except DAMAGED as error:
        raise refuse(path, NOUN, f"it is damaged ({type(error).__name__}: {error})") from error


class _Node:
    """A table of a FlatBuffer, whose fields are read by their place in the schema."""

    def __init__(self, content: bytes, position: int) -> None:
        self._table = Table(content, position)

    @classmethod
    def root(cls, content: bytes) -> _Node:
        return cls(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))

    def _offset(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def number(self, field: int, flags: type, default: int = 0) -> int:
        offset = self._offset(field)
        return int(self._table.Get(flags, self._table.Pos + offset)) if offset else default

    def text(self, field: int) -> str:
        offset = self._offset(field)
        found = self._table.String(self._table.Pos + offset) if offset else b""
        return bytes(found).decode("utf-8", "replace")

    def child(self, field: int) -> _Node | None:
        offset = self._offset(field)
        if not offset:
            return None
        return _Node(self._table.Bytes, self._table.Indirect(self._table.Pos + offset))

    def children(self, field: int) -> list[_Node]:
        return self._each(field, 4, lambda at: _Node(self._table.Bytes, self._table.Indirect(at)))

    def numbers(self, field: int, flags: type) -> list[float]:
        return self._each(field, flags.bytewidth, lambda at: self._table.Get(flags, at))  # type: ignore[attr-defined]

    def _each(self, field: int, width: int, get: Callable[[int], T]) -> list[T]:
        offset = self._offset(field)
        if not offset:
            return []
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        if start + count * width > len(self._table.Bytes):
            raise ValueError(f"a list of {count} reaches beyond the end")
        return [get(start + index * width) for index in range(count)]


def _header(model: _Node) -> Header:
    codes = [_code(each) for each in model.children(1)]
    graphs = model.children(2)
    tensors = [_tensor(each) for each in graphs[0].children(0)]
    calls = {call for graph in graphs for call in _calls(graph, codes)}
    return Header(
        inputs=tuple(_pick(tensors, graphs[0], 1)),
        outputs=tuple(_pick(tensors, graphs[0], 2)),
        calls=tuple(sorted(calls, key=lambda call: (call.number, call.version, call.types, call.per_channel))),
        metadata=tuple(sorted(each.text(0) for each in model.children(6))),
    )


def _code(node: _Node) -> tuple[int, int, str]:
    """Number, version and custom name; old files fill only the 8-bit number."""
    number = max(node.number(0, number_types.Int8Flags), node.number(3, number_types.Int32Flags))
    return number, node.number(2, number_types.Int32Flags, 1), node.text(1)


def _calls(graph: _Node, codes: Sequence[tuple[int, int, str]]) -> Iterator[Call]:
    tensors = graph.children(0)
    types = [_type(each) for each in tensors]
    per_channel = [len(_scales(each)) > 1 for each in tensors]
    for each in graph.children(3):
        inputs = [int(index) for index in each.numbers(1, number_types.Int32Flags) if index >= 0]  # -1: left out
        yield Call(
            *codes[each.number(0, number_types.Uint32Flags)],
            types=tuple(types[index] for index in inputs),
            per_channel=tuple(per_channel[index] for index in inputs),
        )


def _pick(tensors: Sequence[TensorInfo], subgraph: _Node, field: int) -> Iterator[TensorInfo]:
    for index in subgraph.numbers(field, number_types.Int32Flags):
        yield tensors[int(index)]


def _tensor(node: _Node) -> TensorInfo:
    shape = tuple(int(size) for size in node.numbers(0, number_types.Int32Flags))
    signature = tuple(int(size) for size in node.numbers(7, number_types.Int32Flags))
    scales = _scales(node)
    quantization = node.child(4)
    zeros = quantization.numbers(3, number_types.Int64Flags) if quantization else []
    single = len(scales) == 1
    return TensorInfo(
        node.text(3),
        signature or shape,
        _type(node),
        float(scales[0]) if single else None,
        int(zeros[0]) if single and zeros else None,
    )


def _type(node: _Node) -> str:
    number = node.number(1, number_types.Int8Flags)
    return TYPES.get(number, f"type {number}")


def _scales(node: _Node) -> list[float]:
    quantization = node.child(4)
    return quantization.numbers(2, number_types.Float32Flags) if quantization else []
