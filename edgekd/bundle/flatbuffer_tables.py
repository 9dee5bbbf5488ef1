"""Write and read FlatBuffers by a table of their schema: enough for TFLite files and their metadata.

It needs flatbuffers alone, and no generated code.

A schema is a dict of tables; a table is a dict of fields, each with its slot and its kind:

    string, int8, uint32, int32, int64, float32     one value
    bytes                                           a string that may be no UTF-8, or a list of bytes
    [string], [int32], [int64], [float32]           several
    Name, [Name]                                    another table, or several
    union A B C                                     one of several tables, as {"union": "A", …}; it takes two slots

All of it is read; bytes and lists of whole numbers are not written.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

Fields = Mapping[str, tuple[int, str]]
Schema = Mapping[str, Fields]

# what a hostile buffer raises: mostly flatbuffers, where a number points outside of it
DAMAGED = (struct.error, IndexError, TypeError, ValueError, OverflowError, MemoryError, AssertionError, RecursionError)
SCALARS = {
    "int8": number_types.Int8Flags,
    "uint8": number_types.Uint8Flags,
    "int32": number_types.Int32Flags,
    "uint32": number_types.Uint32Flags,
    "int64": number_types.Int64Flags,
    "float32": number_types.Float32Flags,
}
MOST_TABLES = 100_000  # vectors of a hostile buffer can share their tables, so that they grow by powers


def encode(schema: Schema, root: str, values: Mapping[str, Any], identifier: bytes) -> bytes:
    """The FlatBuffer of ``values``; fields that are None or not there are left out."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, schema, root, values), identifier)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, schema: Schema, name: str, values: Mapping[str, Any]) -> int:
    fields = schema[name]
    if unknown := values.keys() - fields.keys() - {"union"}:
        raise KeyError(f"{name} has no field {', '.join(sorted(unknown))}")
    given = [(slot, kind, values[field]) for field, (slot, kind) in fields.items() if values.get(field) is not None]
    stored = [(slot, kind, _stored(builder, schema, kind, value), value) for slot, kind, value in given]
    builder.StartObject(2 + max((slot for slot, _ in fields.values()), default=0))  # a union takes two
    for slot, kind, offset, value in stored:
        if kind in SCALARS:
            builder.PrependSlot(SCALARS[kind], slot, value, None)
        elif kind.startswith("union "):
            builder.PrependUint8Slot(slot, 1 + kind.split()[1:].index(value["union"]), 0)
            builder.PrependUOffsetTRelativeSlot(slot + 1, offset, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _stored(builder: flatbuffers.Builder, schema: Schema, kind: str, value: Any) -> int:
    """Write what lies outside the table itself; return where."""
    if kind in SCALARS:
        return 0
    if kind == "string":
        return int(builder.CreateString(value))
    if kind == "[float32]":
        builder.StartVector(4, len(value), 4)
        for each in reversed(value):
            builder.PrependFloat32(each)
        return int(builder.EndVector())
    if kind.startswith("["):
        return _vector(builder, [_stored(builder, schema, kind[1:-1], each) for each in value])
    return _write(builder, schema, value["union"] if kind.startswith("union ") else kind, value)


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for each in reversed(offsets):
        builder.PrependUOffsetTRelative(each)
    return int(builder.EndVector())


def root(content: bytes) -> Table:
    """The first table of a FlatBuffer; raises one of ``DAMAGED`` where there is none."""
    start = struct.unpack_from("<I", content)[0]
    if start < 8:  # there stand the offset itself and the identifier
        raise ValueError(f"its first table is at {start}")
    return Table(content, start)


class Reader:
    """Reads tables into dicts, fields that are not there left out; raises one of ``DAMAGED`` where it can't."""

    def __init__(self, schema: Schema, most_tables: int = MOST_TABLES) -> None:
        self._schema = schema
        self._most = self._left = most_tables

    def read(self, table: Table, name: str) -> dict[str, Any]:
        """All fields of ``table``, which is a ``name`` of the schema."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {self._most} tables")
        found = {field: self._field(table, slot, kind) for field, (slot, kind) in self._schema[name].items()}
        return {field: value for field, value in found.items() if value is not None}

    def _field(self, table: Table, slot: int, kind: str) -> Any:
        offset = table.Offset(4 + 2 * slot)
        if kind.startswith("union "):
            return self._union(table, offset, slot, kind.split()[1:])
        if offset == 0:
            return None
        if kind in SCALARS:
            return table.Get(SCALARS[kind], offset + table.Pos)
        if kind.startswith("["):
            return self._values(table, offset, kind[1:-1])
        return self._value(table, offset + table.Pos, kind)

    def _values(self, table: Table, offset: int, kind: str) -> list[Any]:
        start, count = table.Vector(offset), table.VectorLen(offset)
        width = SCALARS[kind].bytewidth if kind in SCALARS else number_types.UOffsetTFlags.bytewidth
        if start + width * count > len(table.Bytes):
            raise ValueError(f"a vector of {count} values in {len(table.Bytes)} bytes")
        return [self._value(table, start + width * index, kind) for index in range(count)]

    def _union(self, table: Table, offset: int, slot: int, names: Sequence[str]) -> Any:
        number = table.Get(number_types.Uint8Flags, offset + table.Pos) if offset else 0
        place = table.Offset(4 + 2 * (slot + 1))
        if number == 0 or place == 0:
            return None
        if number > len(names):
            return {"union": f"kind {number}"}
        return {"union": names[number - 1], **self._value(table, place + table.Pos, names[number - 1])}

    def _value(self, table: Table, place: int, kind: str) -> Any:
        if kind in SCALARS:
            return table.Get(SCALARS[kind], place)
        if kind in ("string", "bytes"):
            found = bytes(table.String(place))
            return found if kind == "bytes" else found.decode("utf-8")
        return self.read(Table(table.Bytes, table.Indirect(place)), kind)
