"""Bundles made by hand: what the samples run where no build is wanted. The models are small and real, in ONNX alone."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import onnx
import onnxruntime
import tiny
import tinybert
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image

from edgekd.bundle import golden, manifest
from edgekd.bundle.parts import samples
from edgekd.data.tokens import Tokenizer
from edgekd.tasks.image_classification import prepare

ITEMS, LENGTH = 16, 12
LABELS = ("row, of a field", "column 🏛", "diagonal")
Arrays = dict[str, Any]
IMAGE = {
    "height": tiny.SIZE,
    "width": tiny.SIZE,
    "resize": "bilinear-antialiased",
    "crop": "centre",
    "colour": "grey-as-rgb",
    "mean": (127.5,) * 3,
    "scale": (127.5,) * 3,
}


def commands(section: str) -> list[str]:
    """What the samples' README says to type, in a section."""
    text = samples.sources()["samples/README.md"].decode().split(f"## {section}\n")[1].split("\n## ")[0]
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def images(root: Path, weights: Path, labels: Sequence[str] = LABELS) -> Path:
    """Float and INT8 image classifiers."""
    rows = tiny.data().test.images[:ITEMS]
    root.mkdir(parents=True, exist_ok=True)
    float_file = handmade.write_onnx(root / "float.onnx", weights, batch=1)
    _keep_logits(float_file)
    quantize_static(
        float_file,
        root / "model.onnx",
        _Calibration(prepare(tiny.data().train.images[:60])),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        per_channel=True,
    )
    raw = {f"golden/raw/{number:03d}.png": _png(row[..., 0]) for number, row in enumerate(rows)}
    fed = [{"pixels": prepare(row[None])} for row in rows]
    (root / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    models = dict.fromkeys(("model.onnx", "float.onnx"), fed)
    preprocessing = {"kind": "image", **IMAGE, "layouts": dict.fromkeys(models, "NCHW")}
    return _write(root, models, raw, preprocessing, {"kind": "softmax", "labels": "labels.json", "temperature": 1.5})


def texts(root: Path) -> Path:
    """An encoder: the mean of the tokens' vectors, of length 1. It takes any number of tokens, and token types."""
    root.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(tinybert.word_piece().to_str(), LENGTH, pad_id=0)
    (root / "tokenizer.json").write_text(tokenizer.text, encoding="utf-8")
    onnx.save(_encoder(len(tokenizer.vocabulary)), root / "model.onnx")
    found = [(tinybert.TEXTS * 4)[number] + " cat" * (number // 5) + " é," * (number % 3) for number in range(ITEMS)]
    raw = {f"golden/raw/{number:03d}.txt": text.encode() for number, text in enumerate(found)}
    fed = [_ids(tokenizer.token_ids(text)) for text in found]
    preprocessing = {
        "kind": "text",
        "tokenizer": "tokenizer.json",
        "vocabulary": None,
        "max_length": LENGTH,
        "pad_to": {"model.onnx": None},
        "pad_id": tokenizer.pad_id,
        "lowercase": True,
        "special_tokens": {"[CLS]": 2, "[SEP]": 3},
    }
    return _write(root, {"model.onnx": fed}, raw, preprocessing, {"kind": "vector", "normalised": True})


def _ids(ids: Sequence[int]) -> Arrays:
    found = np.array([ids], np.int64)
    types = np.zeros_like(found, np.int32)
    return {"input_ids": found, "attention_mask": np.ones_like(found), "token_type_ids": types}


class _Calibration(CalibrationDataReader):
    def __init__(self, rows: Any) -> None:
        self.rows = iter(rows[:, None])

    def get_next(self) -> Arrays | None:
        row = next(self.rows, None)
        return None if row is None else {"pixels": row}


def _keep_logits(path: Path) -> None:
    model = onnx.load(path)
    del model.graph.output[1:]  # what the last layer reads
    onnx.save(model, path)


def _png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _encoder(vocabulary: int) -> onnx.ModelProto:
    table = np.random.default_rng(6).normal(size=(vocabulary, 8)).astype(np.float32)
    types = np.zeros((2, 8), np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["typed"]),
        helper.make_node("Add", ["rows", "typed"], ["summed"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["summed", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["vector"], axis=-1),
    ]
    constants = {"table": table, "types": types, "last": np.array([-1]), "middle": np.array([1])}
    kinds = {"input_ids": TensorProto.INT64, "attention_mask": TensorProto.INT64, "token_type_ids": TensorProto.INT32}
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(name, kind, [1, "length"]) for name, kind in kinds.items()],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _write(
    root: Path, models: Mapping[str, Sequence[Arrays]], raw: Mapping[str, bytes], before: Arrays, after: Arrays
) -> Path:
    """Write golden vectors, manifest and samples."""
    for place, content in {**raw, **samples.sources()}.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(content)
    (root / "golden" / "tensors").mkdir()
    made = {name: _expected(root, name, fed) for name, fed in models.items()}
    logits = after["kind"] == "softmax"
    tolerance = golden.Tolerance(
        isa="any", max_abs=0.1 if logits else 1e-4, top1=logits, cosine=None if logits else 0.999, because="a test"
    )
    items = [
        golden.Item(raw=place, models={name: made[name][number] for name in made}) for number, place in enumerate(raw)
    ]
    index = golden.GoldenIndex(items=tuple(items), tolerances=dict.fromkeys(models, (tolerance,)), made_on="a test")
    (root / golden.INDEX).write_text(index.model_dump_json(), encoding="utf-8")
    facts = {
        "edgekd_version": "0",
        "name": "by hand",
        "device": "host",
        "task": "image-classification" if logits else "text-embedding",
        "verdict": "pass",
        "models": [_model(root, name) for name in models],
        "preprocessing": before,
        "postprocessing": after,
        "golden": {"index": golden.INDEX, "count": ITEMS},
        "licences": (),
    }
    manifest.write(manifest.Manifest.model_validate(facts), root / manifest.NAME)
    return root


def _expected(root: Path, name: str, fed: Sequence[Arrays]) -> list[golden.Expected]:
    session = onnxruntime.InferenceSession(root / name, providers=["CPUExecutionProvider"])
    (output,) = (each.name for each in session.get_outputs())
    made = []
    for number, inputs in enumerate(fed):
        stem = f"{number:03d}-{name.removesuffix('.onnx')}"
        outputs = {output: session.run(None, inputs)[0]}
        made.append(
            golden.Expected(
                inputs=tuple(_stored(root, f"{stem}-{key}", key, value) for key, value in inputs.items()),
                outputs=tuple(_stored(root, f"{stem}-out", key, value) for key, value in outputs.items()),
            )
        )
    return made


def _stored(root: Path, stem: str, name: str, values: Any) -> golden.Stored:
    place = f"golden/tensors/{stem}.bin"
    (root / place).write_bytes(np.ascontiguousarray(values, golden.TYPES[values.dtype.name]).tobytes())
    return golden.Stored(name=name, file=place, dtype=values.dtype.name, shape=values.shape)


def _model(root: Path, name: str) -> Arrays:
    content = (root / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    graph = onnx.load_from_string(content).graph
    return {
        "file": name,
        "format": "onnx",
        "sha256": digest,
        "measured_sha256": digest,
        "size_bytes": len(content),
        "isa": "any",
        "inputs": [_tensor(each, "image" if each.name == "pixels" else each.name) for each in graph.input],
        "outputs": [_tensor(each, "vector" if each.name == "vector" else "logits") for each in graph.output],
        "minimum": (),
        "figures": (),
    }


def _tensor(found: onnx.ValueInfoProto, role: str) -> Arrays:
    kind = found.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    shape = [size.dim_value or None for size in kind.shape.dim]
    return {"name": found.name, "shape": shape, "dtype": dtype, "role": role, "meaning": role}
