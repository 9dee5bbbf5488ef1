"""Rewrite a TFLite file for use outside edgekd: weights inline, plain tensor names, the inputs that MediaPipe wants.

The operators stay as they are. litert-quantizer stores weights behind the FlatBuffer, where MediaPipe's loader loses
them, so they are put back into it; TFLite maps files into memory and wants every buffer at a multiple of 16.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekd.errors import BadInputError, MissingExtraError
from edgekd.runtimes.feeding import TOKEN_TYPES

IDENTIFIER = b"TFL3"
ALIGNMENT = 16
IDS, MASK = "input_ids", "attention_mask"
CONVERTED = re.compile(r"^(?:[^/]*serving_default_)?(.+?)(?::\d+)?$")  # what litert-torch puts around a name


class TfliteFile:
    """A TFLite file in memory, with one subgraph."""

    def __init__(self, content: bytes) -> None:
        self.schema = _schema()
        try:
            self.model = self.schema.ModelT.InitFromPackedBuf(content, 0)
            self._inline(content)
            (self.subgraph,) = self.model.subgraphs
        except (struct.error, IndexError, TypeError, AttributeError, ValueError) as error:
            raise BadInputError(f"found a TFLite file that can't be rewritten ({error}), expected one graph") from error

    def _inline(self, content: bytes) -> None:
        if self.model.externalBuffers or any(
            operator.largeCustomOptionsOffset for graph in self.model.subgraphs for operator in graph.operators
        ):
            raise ValueError("it keeps more than weights outside its FlatBuffer")
        for buffer in self.model.buffers:
            if buffer.offset > 1:  # 1 is written for 'to be filled in', 0 for 'inside'
                if buffer.offset + buffer.size > len(content):
                    raise ValueError("it ends before its weights do")
                buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0

    @property
    def inputs(self) -> list[Any]:
        """The tensors that the graph takes."""
        return [self.subgraph.tensors[index] for index in self.subgraph.inputs]

    @property
    def outputs(self) -> list[Any]:
        """The tensors that the graph gives."""
        return [self.subgraph.tensors[index] for index in self.subgraph.outputs]

    def type_name(self, tensor: Any) -> str:
        """A tensor's type as the manifest has it."""
        numbers = vars(self.schema.TensorType).items()
        return str(next(name for name, number in numbers if number == tensor.type)).lower()

    def rename(self, names: Mapping[int, str]) -> None:
        """Name tensors by their index, in the graph and in its signatures; another one of that name gets a '_'."""
        taken = {name.encode() for name in names.values()}
        for index, tensor in enumerate(self.subgraph.tensors):
            if index in names:
                tensor.name = names[index].encode()
            elif tensor.name in taken:
                tensor.name += b"_"
        for signature in self.model.signatureDefs or []:
            for entry in (*signature.inputs, *signature.outputs):
                entry.name = names.get(entry.tensorIndex, entry.name)

    def add_token_types(self) -> None:
        """Add an input that no operator reads, where MediaPipe wants it: between the ids and the mask.

        Single texts have token types of zero, which encoders have among their weights already.
        """
        names = [plain(tensor) for tensor in self.inputs]
        if sorted(names) != sorted((IDS, MASK)):
            return
        ids, mask = (int(self.subgraph.inputs[names.index(name)]) for name in (IDS, MASK))
        like, new = self.subgraph.tensors[ids], self.schema.TensorT()
        new.name, new.type, new.hasRank = TOKEN_TYPES.encode(), like.type, like.hasRank
        new.shape, new.shapeSignature = like.shape, like.shapeSignature
        self.subgraph.tensors.append(new)
        index = len(self.subgraph.tensors) - 1
        self.subgraph.inputs = np.array([ids, index, mask], np.int32)
        for signature in self.model.signatureDefs or []:
            entry = self.schema.TensorMapT()
            entry.name, entry.tensorIndex = TOKEN_TYPES.encode(), index
            signature.inputs.append(entry)

    def attach(self, name: bytes, data: bytes) -> None:
        """Add a metadata entry; an older one of that name is replaced."""
        entries = [each for each in self.model.metadata or [] if each.name != name]
        entry, buffer = self.schema.MetadataT(), self.schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        entry.name, entry.buffer = name, len(self.model.buffers) - 1
        self.model.metadata = [*entries, entry]

    def packed(self) -> bytes:
        """The file again."""
        import flatbuffers

        for place, buffer in enumerate(self.model.buffers):
            self.model.buffers[place] = _Aligned(buffer.data, self.schema)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


class _Aligned:
    """A buffer that lies at a multiple of 16, as the schema demands and the generated Python code doesn't do."""

    def __init__(self, data: Any, schema: Any) -> None:
        self.data, self._schema = data, schema

    def Pack(self, builder: Any) -> int:  # noqa: N802 (the generated code calls it so)
        content = b"" if self.data is None else bytes(self.data)
        if content:
            builder.StartVector(1, len(content), ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            start = builder.EndVector()
        self._schema.BufferStart(builder)
        if content:
            self._schema.BufferAddData(builder, start)
        return int(self._schema.BufferEnd(builder))


def plain(tensor: Any) -> str:
    """A tensor's name without what a converter put around it."""
    name = bytes(tensor.name or b"").decode("utf-8", "replace")
    found = CONVERTED.match(name)
    return found[1] if found else name


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingExtraError("ai-edge-litert", "litert", "writing a .tflite file") from error
    return schema_py_generated
