"""Joined: the operators that a runtime says it ran, brought together with those of the file.

onnxruntime keeps the names of a file's nodes or of their outputs, with an ending of its own. XNNPACK has names of its
own and keeps the order: where it runs as many operators of a kind as the file has, they are the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgekd.errors import EdgekdError
from edgekd.profile.observed import OperatorProfile, OperatorTime, RunsIn
from edgekd.runtimes.graph import Operator

OWN_ENDING = re.compile(r"(_token_\d+|_nchwc)+\Z")
CONVERSIONS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QUANTIZE", "DEQUANTIZE", "Convert"}
FLOATS = {"float", "float16", "bfloat16", "double"}
WEIGHTS_ALONE = {"MatMulNBits", "GatherBlockQuantized"}  # take 8-bit weights and multiply in float
XNNPACK_KINDS = {
    "Convolution": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "Fully Connected": ("FULLY_CONNECTED",),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Softmax": ("SOFTMAX",),
    "GELU": ("GELU",),
    "Add": ("ADD",),
    "Multiply": ("MUL",),
    "Max Pooling": ("MAX_POOL_2D",),
    "Average Pooling": ("AVERAGE_POOL_2D",),
}

Told = Mapping[str, Any]  # an operator as ``observing.operators`` gives it
Found = tuple[str, RunsIn, bool]  # its name, what it ran in, whether it is in the file


def joined(answer: Told, path: Path) -> OperatorProfile:
    """The profile that the answer of ``observing.operators`` gives for the file at ``path``."""
    told = answer["operators"]
    find = _in_onnx(path) if path.suffix == ".onnx" else _in_tflite(path, told)
    total = sum(each["seconds"] for each in told) or 1.0
    operators = []
    for number, each in enumerate(told):
        name, runs_in, in_file = find(number, each)
        operators.append(OperatorTime(name, each["type"], runs_in, each["provider"], each["seconds"] / total, in_file))
    runs, plain_s, profiled_s = answer["runs"], answer["plain_s"], answer["profiled_s"]
    return OperatorProfile(tuple(operators), answer["requested"], runs, plain_s, profiled_s)


def _in_onnx(path: Path) -> Callable[[int, Told], Found]:
    import onnx

    nodes = onnx.load_model(path, load_external_data=False).graph.node
    names = {name: node.name or node.output[0] for node in nodes for name in (*node.output, node.name) if name}
    # onnxruntime calls a node without a name by its type and number
    names |= {f"{node.op_type}_{number}": node.output[0] for number, node in enumerate(nodes) if not node.name}

    def find(_: int, told: Told) -> Found:
        name = names.get(OWN_ENDING.sub("", told["name"]))
        return name or told["name"], onnx_runs_in(told["type"], told["takes"]), name is not None

    return find


def onnx_runs_in(op_type: str, takes: list[str]) -> RunsIn:
    """In what an operator of onnxruntime works, by what it takes.

    >>> onnx_runs_in("QLinearConv", ["uint8", "float", "uint8"]), onnx_runs_in("Gelu", ["float"])
    ('int8', 'float')
    """
    if op_type in CONVERSIONS:
        return "conversion"
    if {"int8", "uint8"} & set(takes) and op_type not in WEIGHTS_ALONE:
        return "int8"
    return "float" if FLOATS & set(takes) else "neither"


def _in_tflite(path: Path, told: list[Told]) -> Callable[[int, Told], Found]:
    from edgekd.runtimes import tflite_graph

    try:
        ours = tflite_graph.describe(path).operators
    except EdgekdError:  # shapes that aren't fixed: it runs all the same
        ours = ()
    same = _pairs(ours, told)

    def find(number: int, each: Told) -> Found:
        operator = same.get(number)
        if operator is None:
            return f"{each['type']} {each['name']}", xnnpack_runs_in(each["type"], None), False
        return operator.name, xnnpack_runs_in(each["type"], operator), True

    return find


def _pairs(ours: tuple[Operator, ...], told: list[Told]) -> dict[int, Operator]:
    """The file's operator for the number of a told one, as far as that is certain."""
    found = {}
    for number, each in enumerate(told):
        place = int(each["name"])
        if each["provider"] == "TFLite" and place < len(ours) and ours[place].op_type == each["type"]:
            found[number] = ours[place]
    taken = {int(told[number]["name"]) for number in found}
    for head, types in XNNPACK_KINDS.items():
        theirs = [number for number, each in enumerate(told) if each["type"].startswith(f"{head} (")]
        wanted = [each for place, each in enumerate(ours) if each.op_type in types and place not in taken]
        if len(theirs) == len(wanted):
            found |= dict(zip(theirs, wanted, strict=True))
    return found


def xnnpack_runs_in(op_type: str, operator: Operator | None) -> RunsIn:
    """In what an operator works: XNNPACK's names tell it of products, the file of others.

    >>> xnnpack_runs_in("Convolution (NHWC, QC8) IGEMM", None), xnnpack_runs_in("Softmax (NC, F32)", None)
    ('int8', 'float')
    """
    if op_type.partition(" (")[0] in CONVERSIONS:
        return "conversion"
    if re.search(r"\bQ[A-Z]{1,2}8", op_type) or (operator is not None and operator.int8):
        return "int8"
    if re.search(r"\bF(16|32)\b", op_type) or (operator is not None and operator.macs):
        return "float"
    return "not told"
