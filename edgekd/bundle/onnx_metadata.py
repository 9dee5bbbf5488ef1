"""What an ONNX file says of itself, in its metadata_props: the manifest's facts as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from pydantic import TypeAdapter, ValidationError

from edgekd.bundle.facts import Facts
from edgekd.bundle.manifest import Place, Postprocessing, Preprocessing
from edgekd.errors import BadInputError
from edgekd.runtimes.graph import text

PREFIX = "edgekd."
PLAIN = ("name", "description", "version", "author", "licence")


def with_metadata(model: bytes, facts: Facts, assets: Mapping[Place, bytes]) -> bytes:
    """The ONNX file ``model`` with ``facts`` inside it, and the labels that they name; other metadata stays.

    The same bytes for the same input.

    Raises:
        BadInputError: not an ONNX file.

    """
    loaded = parsed(model)
    values = {name: getattr(facts, name) for name in PLAIN}
    values["preprocessing"] = _json(facts.preprocessing.model_dump(mode="json"))
    values["postprocessing"] = _json(facts.postprocessing.model_dump(mode="json"))
    if facts.postprocessing.labels is not None:
        values["labels"] = _json(json.loads(assets[facts.postprocessing.labels]))
    others = {entry.key: entry.value for entry in loaded.metadata_props if not entry.key.startswith(PREFIX)}
    del loaded.metadata_props[:]
    onnx.helper.set_model_props(loaded, others | {PREFIX + name: values[name] for name in sorted(values)})
    return bytes(loaded.SerializeToString(deterministic=True))


def read_metadata(model: bytes) -> tuple[Facts, tuple[str, ...] | None] | None:
    """The facts inside the ONNX file ``model`` with the labels; None where it says nothing.

    Raises:
        BadInputError: not an ONNX file, or metadata that can't be read.

    """
    props = {text(entry.key): text(entry.value) for entry in parsed(model).metadata_props}
    values = {key.removeprefix(PREFIX): value for key, value in props.items() if key.startswith(PREFIX)}
    if not values:
        return None
    try:
        facts = Facts(
            **{name: values[name] for name in PLAIN},
            preprocessing=TypeAdapter(Preprocessing).validate_json(values["preprocessing"]),
            postprocessing=Postprocessing.model_validate_json(values["postprocessing"]),
        )
        labels = TypeAdapter(tuple[str, ...]).validate_json(values["labels"]) if "labels" in values else None
    except (KeyError, ValidationError) as error:
        raise BadInputError(
            f"found ONNX metadata that can't be read ({type(error).__name__}: {error})",
            "take the bundle again from who made it",
        ) from error
    return facts, labels


def parsed(model: bytes) -> onnx.ModelProto:
    """The file's graph.

    Raises:
        BadInputError: not an ONNX file.

    """
    try:
        return onnx.load_model_from_string(model)
    except DecodeError as error:
        raise BadInputError(f"found no ONNX file: {error}") from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
