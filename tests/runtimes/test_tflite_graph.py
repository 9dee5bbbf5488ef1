"""Work in TFLite files, against counts made by hand; files are packed here with the schema alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

from edgekd.errors import BadInputError, MissingExtraError
from edgekd.runtimes.tflite_graph import describe

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
Shape = tuple[int, ...]


class Builder:
    """Packs a one-subgraph model."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[int] = []
        self.buffers = [schema.BufferT()]

    def tensor(self, name: str, shape: Shape, dtype: str = "FLOAT32", buffer: Any = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), np.array(shape, np.int32)
        tensor.type, tensor.buffer = getattr(schema.TensorType, dtype), 0
        if buffer is not None:
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if dtype == "INT8":
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = np.array([0.5], np.float32), np.array([-3])
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def call(self, op: str, inputs: list[int], outputs: list[int]) -> None:
        operator = schema.OperatorT()
        code = getattr(schema.BuiltinOperator, op)
        if code not in self.codes:
            self.codes.append(code)
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        self.operators.append(operator)

    def save(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        model, graph = schema.ModelT(), schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = [self.code(number) for number in self.codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path

    @staticmethod
    def code(number: int) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 2
        return code


def outside(size_bytes: int) -> Any:
    """A buffer whose bytes lie behind the FlatBuffer, as litert-quantizer writes them."""
    buffer = schema.BufferT()
    buffer.offset, buffer.size = 4096, size_bytes
    return buffer


def build(path: Path, dtype: str) -> Path:
    """1x8x8x3 -> conv 4 (3x3) -> depthwise 3x3 stride 2 -> 10 classes."""
    b = Builder()
    x = b.tensor("x", (1, 8, 8, 3), dtype)
    w1 = b.tensor("w1", (4, 3, 3, 3), dtype, outside(1))
    w2 = b.tensor("w2", (1, 3, 3, 4), dtype, outside(1))
    w3 = b.tensor("w3", (10, 64), dtype, outside(1))
    bias = b.tensor("bias", (4,), "INT32", outside(1))
    c1, c2 = b.tensor("c1", (1, 8, 8, 4), dtype), b.tensor("c2", (1, 4, 4, 4), dtype)
    y = b.tensor("y", (1, 10), dtype)
    b.call("CONV_2D", [x, w1, bias], [c1])
    b.call("DEPTHWISE_CONV_2D", [c1, w2, -1], [c2])
    b.call("FULLY_CONNECTED", [c2, w3, -1], [y])
    return b.save(path, [x], [y])


def test_multiply_accumulates_by_kind(tmp_path: Path) -> None:
    graph = describe(build(tmp_path / "a.tflite", "INT8"))
    assert graph.by_kind() == {"conv": 64 * 4 * 27, "depthwise": 16 * 4 * 9, "dense": 640, "other": 0}
    assert [each.kind for each in graph.operators] == ["conv", "depthwise", "dense"]


@pytest.mark.parametrize(("dtype", "width", "int8"), [("INT8", 1, True), ("FLOAT32", 4, False)])
def test_sizes_come_from_shapes_and_not_from_buffers(tmp_path: Path, dtype: str, width: int, *, int8: bool) -> None:
    graph = describe(build(tmp_path / "a.tflite", dtype))
    assert graph.weights == 108 + 36 + 640 + 4
    assert graph.weight_bytes == (108 + 36 + 640) * width + 4 * 4
    assert all(each.int8 == int8 for each in graph.operators)
    conv = graph.operators[0]
    assert (conv.weight_bytes, conv.bytes_read, conv.bytes_written) == (108 * width + 16, 192 * width, 256 * width)


def test_peak_of_activations(tmp_path: Path) -> None:
    graph = describe(build(tmp_path / "a.tflite", "INT8"))
    assert graph.activation_peak_bytes == (192 + 10) + (256 + 64)


def test_inputs_outputs_and_versions(tmp_path: Path) -> None:
    graph = describe(build(tmp_path / "a.tflite", "INT8"))
    (x,) = graph.inputs
    assert (x.name, x.shape, x.dtype, x.scale, x.zero_point) == ("x", (1, 8, 8, 3), "int8", 0.5, -3)
    assert graph.versions == {"schema": 3, "CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2}


def test_float_activations_with_int8_weights_are_multiplied_as_int8(tmp_path: Path) -> None:
    b = Builder()
    x, w, y = b.tensor("x", (1, 6)), b.tensor("w", (2, 6), "INT8", outside(12)), b.tensor("y", (1, 2))
    b.call("FULLY_CONNECTED", [x, w, -1], [y])
    graph = describe(b.save(tmp_path / "dynamic_range.tflite", [x], [y]))
    assert [(each.int8, each.macs) for each in graph.operators] == [(True, 12)]


@pytest.mark.parametrize("right", [(2, 5, 7), (2, 7, 5)])
def test_products_of_matrices(tmp_path: Path, right: Shape) -> None:
    b = Builder()
    x, z, y = b.tensor("x", (2, 3, 5)), b.tensor("z", right), b.tensor("y", (2, 3, 7))
    b.call("BATCH_MATMUL", [x, z], [y])
    assert describe(b.save(tmp_path / "m.tflite", [x, z], [y])).macs == 2 * 3 * 5 * 7


def test_an_operator_that_does_not_multiply_is_other(tmp_path: Path) -> None:
    b = Builder()
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    b.call("SOFTMAX", [x], [y])
    (softmax,) = describe(b.save(tmp_path / "s.tflite", [x], [y])).operators
    assert (softmax.op_type, softmax.kind, softmax.macs) == ("SOFTMAX", "other", 0)


def test_dynamic_shapes_are_refused(tmp_path: Path) -> None:
    b = Builder()
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    b.tensors[x].shapeSignature = np.array([-1, 4], np.int32)
    b.call("SOFTMAX", [x], [y])
    with pytest.raises(BadInputError, match=r"dynamic shape \[-1, 4\] of tensor 'x'"):
        describe(b.save(tmp_path / "d.tflite", [x], [y]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty file"), (b"no model", "identifier TFL3"), (b"\xff\xff\xff\x7fTFL3\x00\x00", "damaged")],
)
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "wrong.tflite"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=reason) as caught:
        describe(path)
    assert caught.value.hint


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "cut.tflite", "INT8")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadInputError, match="not a TFLite model"):
        describe(path)


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingExtraError, match="ai-edge-litert") as caught:
        describe(tmp_path / "any.tflite")
    assert "edgekd[litert]" in caught.value.hint
