"""TFLite Metadata: what MediaPipe Tasks and Android Studio read from the model file itself, without code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from edgekd.bundle import labels_file, metadata_schema, wordpiece
from edgekd.bundle.facts import Facts
from edgekd.bundle.flatbuffer_tables import encode
from edgekd.bundle.manifest import ImagePreprocessing, Place, TextPreprocessing
from edgekd.bundle.metadata_reader import Metadata, TensorMetadata, read_metadata
from edgekd.bundle.tflite_file import IDS, MASK, TfliteFile, plain
from edgekd.runtimes.feeding import TOKEN_TYPES

__all__ = ["Metadata", "TensorMetadata", "read_metadata", "with_metadata"]

MEDIAPIPE_NAMES = {IDS: "ids", TOKEN_TYPES: "segment_ids", MASK: "mask"}  # by these it finds the inputs of a BERT
MEANINGS = {
    IDS: "the token ids, the start and end tokens included, padded to this length",
    TOKEN_TYPES: "zeros, as for any single text; the model doesn't read it",
    MASK: "1 at each token and 0 at padding",
}
WHOLE = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0)}  # what a quantized image can hold
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip knows: the same bytes at any time


def with_metadata(model: bytes, facts: Facts, assets: Mapping[Place, bytes]) -> bytes:
    """The TFLite file ``model`` with what it is inside it, and the files that this names appended as a zip.

    ``assets`` has the bundle's files that ``facts`` names: labels, tokenizer, vocabulary.
    Inputs and outputs get plain names, weights are put inline, and an encoder of texts gets a third input, which no
    operator reads; the operators stay the same, and so do the outputs, bit for bit.

    Raises:
        BadInputError: not a TFLite file, or one with several graphs.

    """
    file = TfliteFile(model)
    if isinstance(facts.preprocessing, TextPreprocessing):
        file.add_token_types()
    file.rename(_names(file, facts))
    files = _associated(facts, assets)
    values = _values(file, facts, files)
    file.attach(
        metadata_schema.BUFFER, encode(metadata_schema.SCHEMA, "ModelMetadata", values, metadata_schema.IDENTIFIER)
    )
    return _with_zip(file.packed(), {name: content for name, (content, _) in files.items()})


def _names(file: TfliteFile, facts: Facts) -> dict[int, str]:
    """A name by the index of each input and output."""
    ends = [*file.subgraph.inputs, *file.subgraph.outputs]
    names = {int(index): plain(file.subgraph.tensors[index]) for index in ends}
    if isinstance(facts.preprocessing, ImagePreprocessing):
        names[int(file.subgraph.inputs[0])] = "image"
    known = {"softmax": "logits", "vector": "vector"}
    if facts.postprocessing.kind in known:
        names[int(file.subgraph.outputs[0])] = known[facts.postprocessing.kind]
    return names


def _associated(facts: Facts, assets: Mapping[Place, bytes]) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """The files that go into the model, by name, each with its entry."""
    found: dict[str, tuple[bytes, dict[str, Any]]] = {}
    if facts.postprocessing.labels is not None:
        content, description = labels_file.written(json.loads(assets[facts.postprocessing.labels]))
        entry = {"name": labels_file.NAME, "description": description, "type": metadata_schema.AXIS_LABELS}
        found[labels_file.NAME] = content, entry
    text = facts.preprocessing
    if isinstance(text, TextPreprocessing) and text.vocabulary and not any(wordpiece.obstacles(assets[text.tokenizer])):
        name = PurePosixPath(text.vocabulary).name
        entry = {"name": name, "description": "WordPiece tokens, one a line", "type": metadata_schema.VOCABULARY}
        found[name] = assets[text.vocabulary], entry
    return found


def _values(file: TfliteFile, facts: Facts, files: Mapping[str, tuple[bytes, dict[str, Any]]]) -> dict[str, Any]:
    entries = [entry for _, entry in files.values()]
    labels = [entry for entry in entries if entry["type"] == metadata_schema.AXIS_LABELS]
    vocabulary = [entry for entry in entries if entry["type"] == metadata_schema.VOCABULARY]
    tokenizer = {"options": {"union": "BertTokenizerOptions", "vocab_file": vocabulary}}
    graph = {
        "input_tensor_metadata": [_input(file, tensor, facts) for tensor in file.inputs],
        "output_tensor_metadata": [_output(tensor, facts, labels) for tensor in file.outputs],
        "input_process_units": [tokenizer] if vocabulary else None,
    }
    return {
        "name": facts.name,
        "description": facts.description,
        "version": facts.version,
        "author": facts.author,
        "license": facts.licence,
        "subgraph_metadata": [graph],
        "min_parser_version": metadata_schema.WITH_TOKENIZER if vocabulary else metadata_schema.FIRST,
    }


def _input(file: TfliteFile, tensor: Any, facts: Facts) -> dict[str, Any]:
    name = plain(tensor)
    if isinstance(facts.preprocessing, ImagePreprocessing):
        return {"name": name, **_image(facts.preprocessing, file.type_name(tensor))}
    if isinstance(facts.preprocessing, TextPreprocessing):
        return {"name": MEDIAPIPE_NAMES.get(name, name), "description": MEANINGS.get(name)}
    return {"name": name, "description": facts.preprocessing.description}


def _image(image: ImagePreprocessing, dtype: str) -> dict[str, Any]:
    mean, scale = _once(image.mean, image.scale)
    low, high = image.value_range
    size = {"width": image.width, "height": image.height}
    properties = {"union": "ImageProperties", "color_space": metadata_schema.RGB, "default_size": size}
    whole = WHOLE.get(dtype)
    bounds = zip(mean, scale, strict=True)
    least, most = zip(*(((low - m) / s, (high - m) / s) for m, s in bounds), strict=True)
    return {
        "description": f"an RGB image, {image.width} x {image.height}, channels last",
        "content": {"properties": properties},
        "process_units": [{"options": {"union": "NormalizationOptions", "mean": mean, "std": scale}}],
        "stats": {"min": [whole[0]] if whole else least, "max": [whole[1]] if whole else most},
    }


def _once(mean: Sequence[float], scale: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """One value where all channels have the same: MediaPipe takes no other."""
    same = len(set(mean)) == len(set(scale)) == 1
    return (mean[:1], scale[:1]) if same else (mean, scale)


def _output(tensor: Any, facts: Facts, labels: list[dict[str, Any]]) -> dict[str, Any]:
    post = facts.postprocessing
    said = {
        "softmax": f"a logit a class: probabilities are softmax(logits / {post.temperature:g})",
        "vector": "the vector of the text" + (", of length 1" if post.normalised else ""),
        "none": "as the task defines it",
    }
    feature = {"properties": {"union": "FeatureProperties"}}
    found = {"name": plain(tensor), "description": said[post.kind], "content": feature}
    return {**found, "associated_files": labels or None}


def _with_zip(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """The model with ``files`` behind it as a zip, stored as they are: MediaPipe reads them where they lie."""
    if not files:
        return model
    out = io.BytesIO(model)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as Unix writes it, on any system
            archive.writestr(entry, content)
    return out.getvalue()
