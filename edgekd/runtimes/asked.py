"""Asked: what a model file of somebody else asks for as inputs, and what keeps it from being profiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.errors import BadInputError
from edgekd.runtimes import onnx_graph, tflite_graph
from edgekd.runtimes.graph import read_model, refuse, refusing_damage, text

LARGEST_BYTES = 2**31 - 1  # neither format's index reaches further
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnx.preview.training", "ai.onnx.training"})
LOOPS = frozenset({"Loop", "Scan"})
THROUGH = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "CAST", "RESHAPE", "SQUEEZE"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One input of a file. A size that isn't fixed is its name there, or '?'."""

    name: str
    dtype: str  # numpy's name
    shape: tuple[int | str, ...]
    ids: int | None = None  # how many rows the table has that it is looked up in
    scale: float = 0.0  # above 0, whole numbers stand for scale * (whole - zero_point)


def asked(path: Path) -> tuple[Asked, ...]:
    """What ``path`` asks for.

    Raises:
        BadInputError: no .onnx or .tflite file, not a model, too large, with external data that isn't there, or with
            operators that the runtime doesn't have or whose work depends on the data.

    """
    if path.suffix not in (".onnx", ".tflite"):
        raise BadInputError(f"{path}: found the ending {path.suffix!r}, expected .onnx or .tflite")
    if path.is_file() and path.stat().st_size > LARGEST_BYTES:
        raise BadInputError(
            f"{path}: found {path.stat().st_size / 1e9:.1f} GB in one file, expected less than 2 GiB",
            "no runtime reads such a file: export an ONNX model with external data",
        )
    return _onnx(path) if path.suffix == ".onnx" else _tflite(path)


def external_files(path: Path) -> tuple[Path, ...]:
    """The files beside an ONNX file in which it keeps weights."""
    return () if path.suffix != ".onnx" else tuple(path.parent / place for place in _external(_parsed(path)))


def beside(path: Path) -> dict[str, Path]:
    """The same by their names, for places where all files lie in one folder.

    Raises:
        BadInputError: one lies in another folder than ``path``.

    """
    files = {each.name: each for each in external_files(path)}
    if any(each.parent != path.parent for each in files.values()):
        raise BadInputError(
            f"{path}: found external data in another folder, expected it beside the file",
            "save the model again with its external data beside it",
        )
    return files


def _parsed(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(read_model(path, onnx_graph.NOUN))
    except DecodeError as error:
        raise refuse(path, onnx_graph.NOUN, str(error)) from error
    if not model.graph.node or not model.opset_import:
        raise refuse(path, onnx_graph.NOUN, "it has no operators")
    return model


def _onnx(path: Path) -> tuple[Asked, ...]:
    model = _parsed(path)
    _refuse_operators(path, model)
    missing = [place for place in _external(model) if not (path.parent / place).is_file()]
    if missing:
        raise BadInputError(
            f"{path}: found weights in {missing[0]!r}, expected that file beside it",
            "an ONNX model with external data is all of its files: put them into one folder",
        )
    with refusing_damage(path, onnx_graph.NOUN):
        return tuple(_onnx_inputs(path, model.graph))


def _onnx_inputs(path: Path, graph: Any) -> Iterator[Asked]:
    import onnx

    constants = {each.name for each in graph.initializer}
    tables = _onnx_tables(graph)
    for value in graph.input:
        kind = value.type.tensor_type
        if value.name in constants:
            continue
        if not kind.elem_type or kind.elem_type == onnx.TensorProto.STRING or not kind.HasField("shape"):
            raise BadInputError(
                f"{path}: found the input {value.name!r} of a type or rank that can't be made up, expected numbers",
                "texts, lists and inputs of any rank can't be profiled: export the network alone",
            )
        sizes = tuple(size.dim_value or size.dim_param or "?" for size in kind.shape.dim)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        yield Asked(text(value.name), dtype, sizes, tables.get(value.name))


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(inner)


def _refuse_operators(path: Path, model: Any) -> None:
    own = {(each.domain, each.name) for each in model.functions}
    for node in _nodes(model.graph):
        if node.op_type in LOOPS and node.domain in ("", "ai.onnx"):
            raise BadInputError(
                f"{path}: found the operator {node.op_type} {node.name!r}, expected none that repeats others",
                "how often it runs depends on the data, so made-up inputs don't tell its time; export its body alone",
            )
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise BadInputError(
                f"{path}: found the custom operator {node.domain}::{node.op_type}, expected those of onnxruntime",
                "export the model without it: edgekd loads no libraries of operators",
            )


def _external(model: Any) -> list[str]:
    from onnx import TensorProto

    held = (each for each in model.graph.initializer if each.data_location == TensorProto.EXTERNAL)
    return list(dict.fromkeys(entry.value for each in held for entry in each.external_data if entry.key == "location"))


def _onnx_tables(graph: Any) -> dict[str, int]:
    """For each input that a table is looked up by, the table's rows."""
    rows = {each.name: each.dims[0] for each in graph.initializer if each.dims}
    looked_up = {node.input[1]: rows[node.input[0]] for node in graph.node if _looks_up(node, rows)}
    return _reaching(looked_up, {node.output[0]: node.input[0] for node in graph.node if node.op_type in THROUGH})


def _looks_up(node: Any, rows: Mapping[str, int]) -> bool:
    return node.op_type in {"Gather", "GatherElements"} and node.input[0] in rows


def _reaching(looked_up: Mapping[Any, int], before: Mapping[Any, Any]) -> dict[Any, int]:
    """The same for what becomes an index only after a cast or another shape."""
    found: dict[Any, int] = {}
    for index, rows in looked_up.items():
        name = index
        while name is not None and found.get(name, rows + 1) > rows:  # else it has been here, perhaps in a circle
            found[name] = rows
            name = before.get(name)
    return found


def _tflite(path: Path) -> tuple[Asked, ...]:
    schema = tflite_graph._schema()  # noqa: SLF001 (the same reader)
    content = read_model(path, tflite_graph.NOUN)
    if content[4:8] != tflite_graph.IDENTIFIER:
        raise refuse(path, tflite_graph.NOUN, "it does not have the identifier TFL3")
    with refusing_damage(path, tflite_graph.NOUN):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        tables = _tflite_tables(model, graph, schema)
        return tuple(_tflite_input(graph.tensors[index], tables.get(index), schema) for index in graph.inputs)


def _tflite_input(tensor: Any, ids: int | None, schema: Any) -> Asked:
    names = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    sizes = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    scales = getattr(tensor.quantization, "scale", None)
    scale = float(scales[0]) if scales is not None and len(scales) else 0.0
    shape = tuple(int(size) if size >= 0 else "?" for size in (() if sizes is None else sizes))
    return Asked(tensor.name.decode(), names[tensor.type].lower(), shape, ids, scale)


def _tflite_tables(model: Any, graph: Any, schema: Any) -> dict[int, int]:
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    codes = [names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?") for code in model.operatorCodes]
    looked_up, before = {}, {}
    for operator in graph.operators:
        code, inputs = codes[operator.opcodeIndex], [int(index) for index in operator.inputs]
        if code in {"GATHER", "EMBEDDING_LOOKUP"}:
            table, index = inputs if code == "GATHER" else reversed(inputs)
            looked_up[index] = int(graph.tensors[table].shape[0])
        elif code in THROUGH:
            before[int(operator.outputs[0])] = inputs[0]
    return _reaching(looked_up, before)
