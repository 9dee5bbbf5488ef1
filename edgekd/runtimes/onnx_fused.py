"""What onnxruntime runs as one operator, and the parts of an ONNX graph by name.

* DequantizeLinear - operator - QuantizeLinear is one int8 operator, whatever the granularity of its scales;
* so is DynamicQuantizeLinear - MatMulInteger - Cast - Mul - Add of a constant, without the first where several read it;
* an activation or a batch normalisation after a convolution runs inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekd.runtimes.onnx_work import COUNTED

ACTIVATIONS = {"Relu", "Clip"}
BEARERS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add"}  # what an activation is fused into
DYNAMIC = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}  # what onnxruntime makes of MatMulInteger itself
WHOLE_8 = {"QLinearConv", "ConvInteger", "MatMulInteger", "QLinearMatMul", "QGemm", *DYNAMIC}
INT8_LEVEL = 4  # of MatMulNBits' accuracy_level: activations are rounded to 8 bits as it runs
FLOAT_RESULT = {"MatMul", "Gemm"}  # these run in int8 even where no QuantizeLinear follows


@dataclass(frozen=True, slots=True)
class Tensor:
    """What one tensor takes."""

    shape: tuple[int, ...]
    dtype: str
    size_bytes: int


@dataclass(slots=True)
class Fused:
    """One operator with the names of the tensors that it reads and writes once all is fused."""

    node: Any
    reads: list[str]
    writes: list[str]
    int8: bool


@dataclass(frozen=True, slots=True)
class File:
    """The parts of an ONNX graph by name; ``constants`` are initializers and what was computed from them."""

    nodes: tuple[Any, ...]
    tensors: Mapping[str, Tensor]
    constants: frozenset[str]
    outputs: frozenset[str]
    producers: Mapping[str, Any] = field(default_factory=dict)
    users: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def only_user(self, node: Any) -> Any | None:
        """The one node that reads what ``node`` writes, if there is exactly one and no graph output is lost."""
        users = self.users.get(node.output[0], ())
        return users[0] if len(users) == 1 and node.output[0] not in self.outputs else None


def fuse(parts: File) -> list[Fused]:
    """Walk the nodes once; a node that was taken by one before it is left out."""
    taken: set[int] = set()
    whole = {id(node): _runs_in_int8(node, parts) for node in parts.nodes}
    fused = []
    for node in parts.nodes:
        if id(node) in taken or _is_carried(node, parts, whole):
            continue
        last = _follow(node, parts, taken, int8=whole[id(node)])
        reads = [name for name in node.input if name]
        if whole[id(node)]:
            reads = list(dict.fromkeys(behind(name, parts) for name in reads))
        fused.append(Fused(node, reads, [last] if last != node.output[0] else list(node.output), whole[id(node)]))
    return fused


def _is_carried(node: Any, parts: File, whole: Mapping[int, bool]) -> bool:
    """Whether the operators that read what this node makes do themselves what it does."""
    if node.op_type == "DynamicQuantizeLinear":
        return _serves_one(node, parts)
    if _is_scale(node, parts):
        return True
    users = parts.users.get(node.output[0], ())
    lost = node.output[0] in parts.outputs
    return node.op_type == "DequantizeLinear" and not lost and bool(users) and all(whole[id(user)] for user in users)


def _serves_one(quantize: Any, parts: File) -> bool:
    """Whether exactly one product reads what this DynamicQuantizeLinear makes."""
    users = parts.users.get(quantize.output[0], ())
    return len(users) == 1 and users[0].op_type == "MatMulInteger"


def _is_scale(node: Any, parts: File) -> bool:
    """Whether this is the product of the scales of activations and weights."""
    producer = parts.producers.get(node.input[0]) if node.op_type == "Mul" else None
    if producer is None or producer.op_type != "DynamicQuantizeLinear":
        return False
    return node.input[0] == producer.output[1] and node.input[1] in parts.constants


def _follow(node: Any, parts: File, taken: set[int], *, int8: bool) -> str:
    """Take the nodes after ``node`` that run inside it; return the name of the tensor that leaves the last one."""
    current = node
    while (after := parts.only_user(current)) is not None:
        if node.op_type == "MatMulInteger" and after.op_type in {"Cast", "Mul", "Add"}:
            inside = _returns_to_float(after, current, parts)
        elif after.op_type == "BatchNormalization":
            inside = current.op_type in {"Conv", "ConvTranspose"}
        elif after.op_type in ACTIVATIONS:
            inside = node.op_type in BEARERS or (int8 and node.op_type in WHOLE_8)
        else:
            inside = int8 and after.op_type == "QuantizeLinear"
        if not inside:
            break
        taken.add(id(after))
        current = after
        if after.op_type == "QuantizeLinear":
            break
    return str(current.output[0])


def _returns_to_float(node: Any, before: Any, parts: File) -> bool:
    """Whether a MatMulInteger does what ``node`` does with its result: a Cast, its scale, and a constant added."""
    if node.op_type == "Cast":
        return bool(before.op_type == "MatMulInteger")
    other = next((name for name in node.input if name != before.output[0]), "")
    if node.op_type == "Add":
        return before.op_type == "Mul" and other in parts.constants
    scale = parts.producers.get(other)
    return before.op_type == "Cast" and scale is not None and _is_scale(scale, parts)


def behind(name: str, parts: File) -> str:
    """The tensor that an int8 operator reads in truth: what a (de)quantization made ``name`` of, else ``name``."""
    producer = parts.producers.get(name)
    if producer is None:
        return name
    carried = producer.op_type == "DynamicQuantizeLinear" and _serves_one(producer, parts)
    return str(producer.input[0]) if carried or producer.op_type == "DequantizeLinear" else name


def _runs_in_int8(node: Any, parts: File) -> bool:
    """Whether the node multiplies integers: by its type, or standing between DequantizeLinear and QuantizeLinear."""
    if node.op_type in WHOLE_8:
        return True
    if node.op_type == "MatMulNBits":
        return any(each.name == "accuracy_level" and each.i == INT8_LEVEL for each in node.attribute)
    if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
        return False
    data = [name for name in node.input[:2] if name and (name not in parts.constants or name in parts.producers)]
    needed = 2 if node.op_type in COUNTED else 1
    if len(data) < needed or any(behind(name, parts) == name for name in data):
        return False
    return node.op_type in FLOAT_RESULT or _is_quantized_after(node, parts)


def _is_quantized_after(node: Any, parts: File) -> bool:
    after = parts.only_user(node)
    if after is not None and after.op_type in ACTIVATIONS:
        after = parts.only_user(after)
    return after is not None and after.op_type == "QuantizeLinear"
