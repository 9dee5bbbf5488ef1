"""Read TFLite Metadata with nothing but flatbuffers, from files that may be damaged or hostile."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekd.bundle import labels_file, metadata_schema
from edgekd.bundle.flatbuffer_tables import DAMAGED, Reader, root
from edgekd.bundle.tflite_file import IDENTIFIER
from edgekd.errors import BadInputError


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """What the metadata says of one input or output."""

    name: str
    description: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a TFLite file says of itself."""

    name: str
    description: str
    version: str
    author: str
    licence: str
    min_parser_version: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    vocabulary: str | None  # the file of a BERT tokenizer's tokens, one of ``files``
    files: Mapping[str, bytes]


def read_metadata(model: bytes) -> Metadata | None:
    """What the TFLite file ``model`` says of itself; None where it says nothing.

    Raises:
        BadInputError: not a TFLite file, or damaged metadata.

    """
    if model[4:8] != IDENTIFIER:
        raise BadInputError("found no TFLite file: it does not have the identifier TFL3")
    try:
        content = _buffer(model)
        return None if content is None else _parsed(content, _files(model))
    except (*DAMAGED, KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BadInputError(
            f"found TFLite metadata that can't be read ({type(error).__name__}: {error})",
            "take the bundle again from who made it",
        ) from error


def _buffer(model: bytes) -> bytes | None:
    """The metadata's FlatBuffer inside the model's."""
    reader = Reader({"Metadata": {"name": (0, "string"), "buffer": (1, "uint32")}, "Buffer": {"data": (0, "bytes")}})
    table = root(model)
    entries, buffers = table.Offset(4 + 2 * 6), table.Offset(4 + 2 * 4)
    for index in range(table.VectorLen(entries) if entries else 0):
        entry = reader.read(_element(table, entries, index), "Metadata")
        if entry.get("name", "").encode() == metadata_schema.BUFFER:
            number = entry.get("buffer", 0)
            if number >= table.VectorLen(buffers):
                raise ValueError(f"it is buffer {number}, which is not there")
            return _filled(reader.read(_element(table, buffers, number), "Buffer"))
    return None


def _element(table: Any, offset: int, index: int) -> Any:
    return type(table)(table.Bytes, table.Indirect(table.Vector(offset) + 4 * index))


def _filled(buffer: Mapping[str, Any]) -> bytes:
    content: bytes | None = buffer.get("data")
    if content is None:
        raise ValueError("its buffer is empty")
    return content


def _parsed(content: bytes, files: Mapping[str, bytes]) -> Metadata:
    if content[4:8] != metadata_schema.IDENTIFIER:
        raise ValueError("it does not have the identifier M001")
    values = Reader(metadata_schema.SCHEMA).read(root(content), "ModelMetadata")
    (graph,) = values["subgraph_metadata"]
    return Metadata(
        name=values.get("name", ""),
        description=values.get("description", ""),
        version=values.get("version", ""),
        author=values.get("author", ""),
        licence=values.get("license", ""),
        min_parser_version=values.get("min_parser_version", ""),
        inputs=tuple(_tensor(each, files) for each in graph.get("input_tensor_metadata", ())),
        outputs=tuple(_tensor(each, files) for each in graph.get("output_tensor_metadata", ())),
        vocabulary=_vocabulary(graph, files),
        files=files,
    )


def _tensor(values: Mapping[str, Any], files: Mapping[str, bytes]) -> TensorMetadata:
    options = [unit.get("options", {}) for unit in values.get("process_units", ())]
    normal: Mapping[str, Any] = next((each for each in options if each.get("union") == "NormalizationOptions"), {})
    stats = values.get("stats", {})
    named = [each for each in values.get("associated_files", ()) if each.get("type") == metadata_schema.AXIS_LABELS]
    return TensorMetadata(
        name=values.get("name", ""),
        description=values.get("description", ""),
        mean=tuple(normal.get("mean", ())),
        std=tuple(normal.get("std", ())),
        minimum=tuple(stats.get("min", ())),
        maximum=tuple(stats.get("max", ())),
        labels=labels_file.read(files[named[0]["name"]], named[0].get("description", "")) if named else None,
    )


def _vocabulary(graph: Mapping[str, Any], files: Mapping[str, bytes]) -> str | None:
    for unit in graph.get("input_process_units", ()):
        options = unit.get("options", {})
        if options.get("union") == "BertTokenizerOptions":
            name = str(options["vocab_file"][0]["name"])
            files[name]  # raises KeyError where the file isn't there
            return name
    return None


def _files(model: bytes) -> dict[str, bytes]:
    """The files behind the model, none of which can be larger than it: they are stored as they are."""
    if not zipfile.is_zipfile(io.BytesIO(model)):
        return {}
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("a file in it is compressed")
        if sum(entry.file_size for entry in entries) > len(model):
            raise ValueError("the files in it are larger than itself")
        return {entry.filename: archive.read(entry) for entry in entries}
