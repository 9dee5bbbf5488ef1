"""A bundle written by hand: one linear layer as ONNX and as TFLite, with golden vectors. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from edgekd.bundle import checksums
from edgekd.bundle.least_versions import minimum

INPUTS, LABELS, VECTORS = 4, ["a", "b, c", "\N{GRINNING FACE}"], 16
WEIGHTS = np.random.default_rng(1).normal(size=(len(LABELS), INPUTS)).astype(np.float32)
BIAS = np.array([0.5, -0.25, 0.125], np.float32)


def write_onnx(path: Path, opset: int = 20, ir_version: int = 10) -> Path:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["scores"], transB=1)]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INPUTS])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version), path)
    return path


def write_tflite(path: Path, version: int = 1, code: int = schema.BuiltinOperator.FULLY_CONNECTED) -> Path:
    model, graph, operator, kind = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    model.buffers = [schema.BufferT(), _buffer(WEIGHTS), _buffer(BIAS)]
    shapes = {"x": (1, INPUTS), "w": WEIGHTS.shape, "b": BIAS.shape, "scores": (1, len(LABELS))}
    graph.tensors = [_tensor(name, shape, {"w": 1, "b": 2}.get(name, 0)) for name, shape in shapes.items()]
    operator.inputs, operator.outputs = np.array([0, 1, 2], np.int32), np.array([3], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph.inputs, graph.outputs, graph.operators = np.array([0], np.int32), np.array([3], np.int32), [operator]
    kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = code, min(code, 127), version
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [kind]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _buffer(values: Any) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    return buffer


def _tensor(name: str, shape: tuple[int, ...], buffer: int) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer, tensor.type = name.encode(), np.array(shape, np.int32), buffer, 0
    return tensor


def write_bundle(root: Path, *models: Path) -> Path:
    """A bundle of ``models``, of those that :func:`write_onnx` and :func:`write_tflite` make by default."""
    root.mkdir(parents=True)
    models = models or (write_onnx(root / "model.onnx"), write_tflite(root / "model.tflite"))
    for folder in ("golden/raw", "golden/tensors"):
        (root / folder).mkdir(parents=True)
    (root / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    items = [_item(root, number, models) for number in range(VECTORS)]
    tolerance = {
        "isa": "any",
        "max_abs": 1e-4,
        "top1": True,
        "cosine": 0.9999,
        "because": "float sums in another order",
    }
    index = {"items": items, "tolerances": {model.name: [tolerance] for model in models}, "made_on": "paper"}
    _write(root / "golden/golden.json", index)
    _write(root / "manifest.json", _manifest(models))
    return seal(root)


def seal(root: Path) -> Path:
    """Sum the files again."""
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    (root / checksums.NAME).write_text(checksums.text(files), encoding="utf-8")
    return root


def change(root: Path, place: str, *keys: Any, to: Any) -> Path:
    """Put ``to`` at ``keys`` of a JSON file of the bundle, and sum the files again."""
    values = json.loads((root / place).read_text(encoding="utf-8"))
    inner = values
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    _write(root / place, values)
    return seal(root)


def put(root: Path, number: int, content: bytes) -> Path:
    """Put another file in the place of a model, as which the manifest has it then."""
    models = json.loads((root / "manifest.json").read_text(encoding="utf-8"))["models"]
    (root / models[number]["file"]).write_bytes(content)
    change(root, "manifest.json", "models", number, "size_bytes", to=len(content))
    return change(root, "manifest.json", "models", number, "sha256", to=hashlib.sha256(content).hexdigest())


def _item(root: Path, number: int, models: tuple[Path, ...]) -> Mapping[str, Any]:
    values = np.random.default_rng(number + 10).normal(size=(1, INPUTS)).astype(np.float32)
    scores = values @ WEIGHTS.T + BIAS
    (root / f"golden/raw/{number:03}.txt").write_text(str(values.tolist()), encoding="utf-8")
    stored = {"inputs": [_stored(root, number, "x", values)], "outputs": [_stored(root, number, "scores", scores)]}
    return {"raw": f"golden/raw/{number:03}.txt", "label": None, "models": {model.name: stored for model in models}}


def _stored(root: Path, number: int, name: str, values: Any) -> Mapping[str, Any]:
    place = f"golden/tensors/{number:03}-{name}.bin"
    (root / place).write_bytes(values.tobytes())
    return {"name": name, "file": place, "dtype": "float32", "shape": list(values.shape)}


def _manifest(models: tuple[Path, ...]) -> Mapping[str, Any]:
    return {
        "edgekd_version": "0",
        "name": "linear",
        "device": "paper",
        "task": "own",
        "verdict": "pass",
        "models": [_model(path) for path in models],
        "preprocessing": {"kind": "own", "description": "four numbers"},
        "postprocessing": {"kind": "softmax", "labels": "labels.json"},
        "golden": {"index": "golden/golden.json", "count": VECTORS},
        "licences": [],
    }


def _model(path: Path) -> Mapping[str, Any]:
    batch = None if path.suffix == ".onnx" else 1
    content = path.read_bytes()
    tensor = {"dtype": "float32", "meaning": "numbers"}
    return {
        "file": path.name,
        "format": path.suffix[1:],
        "sha256": hashlib.sha256(content).hexdigest(),
        "measured_sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "isa": "x86",
        "inputs": [tensor | {"name": "x", "shape": [batch, INPUTS], "role": "other"}],
        "outputs": [tensor | {"name": "scores", "shape": [batch, len(LABELS)], "role": "logits"}],
        "minimum": [each.model_dump() for each in minimum(path)],
        "figures": [],
    }


def _write(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
