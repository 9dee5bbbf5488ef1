"""The least runtime that can run a model file, computed from the file: its format, operator sets and operators.

The tables lie in ``least_versions.json``, each with its source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from edgekd.bundle import tflite_header
from edgekd.bundle.manifest import Minimum
from edgekd.errors import BadInputError
from edgekd.runtimes.graph import read_model, refuse, text

TABLES = Path(__file__).with_suffix(".json")
CONTRIBUTED = "com.microsoft"  # onnxruntime's own operators
STANDARD = ("", "ai.onnx")
Need = tuple[str, str]  # a version, and what asks for it


def minimum(path: Path) -> tuple[Minimum, ...]:
    """The least version of each package that runs the file at ``path``.

    A package of which no version is known to run it is left out.

    Raises:
        BadInputError: no ONNX or TFLite file, a damaged one, or one that asks for more than any known runtime has.

    """
    if path.suffix == ".onnx":
        version, because = _most(_onnx(path))
        return (Minimum(runtime="onnxruntime", version=version, because=because),)
    version, because = _most(_tflite(path))
    return tuple(_packages(version, because))


def older(version: str, than: str) -> bool:
    """Whether ``version`` comes before the version ``than``; numbers with dots, nothing else.

    >>> older("1.9.0", "1.18"), older("1.18", "1.18.0"), older("2.0", "1.18")
    (True, False, False)
    """
    return _key(version) < _key(than)


def _key(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


@cache
def tables() -> Mapping[str, Any]:
    """least_versions.json."""
    found: Mapping[str, Any] = json.loads(TABLES.read_text(encoding="utf-8"))
    return found


def _most(needs: Iterable[Need]) -> Need:
    """The need for the newest version; of equal ones the first."""
    return max(needs, key=lambda need: _key(need[0]))


def _onnx(path: Path) -> Iterator[Need]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(read_model(path, "an ONNX model"))
    except DecodeError as error:
        raise refuse(path, "an ONNX model", str(error)) from error
    yield _release(path, "ir", model.ir_version, "IR version")
    for entry in model.opset_import:
        if entry.domain in STANDARD:
            yield _release(path, "opset", entry.version, "operator set")
    yield from (_contributed(path, name) for name in sorted(_operators(model)))


def _release(path: Path, column: str, number: int, noun: str) -> Need:
    table = tables()["onnxruntime"]
    place = table["columns"].index(column)
    for row in table["rows"]:
        if row[place] >= number:
            return row[0], f"{noun} {number}"
    newest = table["rows"][-1]
    raise BadInputError(
        f"{path}: found {noun} {number}, expected {newest[place]} at most, which onnxruntime {newest[0]} has",
        "export the model with an older one",
    )


def _operators(model: Any) -> set[str]:
    """The operators of onnxruntime's own that the file uses, those in branches and functions too."""
    found, graphs = set(), [model.graph, *model.functions]
    for graph in graphs:
        for node in graph.node:
            if node.domain == CONTRIBUTED:
                found.add(text(node.op_type))
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += attribute.graphs
    return found


def _contributed(path: Path, name: str) -> Need:
    for version, names in tables()[CONTRIBUTED]["operators"].items():
        if name in names:
            return version, f"{name} of {CONTRIBUTED}"
    raise BadInputError(
        f"{path}: found the operator {name!r} of {CONTRIBUTED}, which no known onnxruntime has",
        "export the model without it",
    )


def _tflite(path: Path) -> Iterator[Need]:
    by_number = {number: (name, versions) for name, (number, *versions) in tables()["tflite"]["operators"].items()}
    calls = tflite_header.read(path).calls
    if not calls:
        raise refuse(path, tflite_header.NOUN, "it has no operators")
    for call in calls:
        if call.custom:
            raise BadInputError(
                f"{path}: found the custom operator {call.custom!r}, which no runtime brings",
                "export the model with builtin operators",
            )
        name, versions = by_number.get(call.number, (f"number {call.number}", []))
        version = max(call.version, needed_version(name, call))
        least = versions[version - 1] if 0 < version <= len(versions) else None
        if least is None:
            raise BadInputError(
                f"{path}: found the operator {name} version {version}, which no known TFLite runtime has",
                "convert the model with another version of the converter",
            )
        yield least, f"{name} version {version}"


def needed_version(name: str, call: tflite_header.Call) -> int:
    """The version that the operator's types ask for: quantizers leave the version of the float operator in the file.

    Only what newer runtimes than 2.1 brought is told apart; the source stands in ``least_versions.json``.
    """
    for operator, types, per_channel, version in tables()["tflite"]["by types"]:
        fits = len(call.types) >= len(types) and all(a in (None, b) for a, b in zip(types, call.types, strict=False))
        if operator == name and fits and (not per_channel or any(call.per_channel[: len(types)])):
            return int(version)
    return 1


def _packages(version: str, because: str) -> Iterator[Minimum]:
    """The first release of each package that has the operators of the TFLite runtime ``version``."""
    packages = {name: rows for name, rows in tables()["packages"].items() if name not in ("source", "columns")}
    for name, rows in packages.items():
        enough = [release for release, has in rows if not older(has, version)]
        if enough:
            yield Minimum(runtime=name, version=enough[0], because=f"{because}: TFLite {version}")
