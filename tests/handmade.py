"""The tiny teacher of tinynet.py as files that no exporter made: ONNX written node by node, and a table of outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa
import tiny
from onnx import TensorProto, helper, numpy_helper
from pyarrow import parquet
from safetensors.numpy import load_file

from edgekd.tasks.image_classification import prepare

Arrays = npt.NDArray[Any]
EPSILON = 1e-5  # torch's BatchNorm2d


def write_onnx(path: Path, weights: Path, batch: int | str = "batch", *, softmax: bool = False) -> Path:
    """Write the network with folded normalisation; its second output is what the last layer reads."""
    state = load_file(weights)
    constants: dict[str, Any] = {"zero": np.float32(0), "six": np.float32(6)}
    nodes, last = [], "pixels"
    for index, stride in enumerate((1, 2)):
        scale = state[f"features.{index}.1.weight"] / np.sqrt(state[f"features.{index}.1.running_var"] + EPSILON)
        constants[f"w{index}"] = state[f"features.{index}.0.weight"] * scale[:, None, None, None]
        constants[f"b{index}"] = state[f"features.{index}.1.bias"] - state[f"features.{index}.1.running_mean"] * scale
        options: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [stride, stride]}
        nodes.append(helper.make_node("Conv", [last, f"w{index}", f"b{index}"], [f"conv{index}"], **options))
        nodes.append(helper.make_node("Clip", [f"conv{index}", "zero", "six"], [last := f"clip{index}"]))
    constants |= {"w": state["classifier.weight"], "b": state["classifier.bias"]}
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "w", "b"], ["scores"], transB=1))
    nodes.append(helper.make_node("Softmax", ["scores"], ["chances"]))
    shapes = {"chances" if softmax else "scores": len(constants["b"]), "flat": 24}
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, tiny.SIZE, tiny.SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, width]) for name, width in shapes.items()],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def ids(*splits: str) -> list[str]:
    """What edgekd calls the rows of tiny.py's splits."""
    counts = {"train": tiny.TRAIN, "test": tiny.TEST}
    return [f"{split}/{row}" for split in splits for row in range(counts[split])]


def inputs(*splits: str) -> Arrays:
    """Their images, prepared."""
    return np.concatenate([prepare(getattr(tiny.data(), split).images) for split in splits])


def write_table(path: Path, **columns: Any) -> Path:
    """Write a Parquet table; an array (rows, width) becomes a column of lists."""
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in columns.items()}
    parquet.write_table(pa.table(plain), path, row_group_size=100)
    return path
