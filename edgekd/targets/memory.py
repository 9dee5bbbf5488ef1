"""Peak memory of a model file: what its runtime keeps of the file, of each kind of weights and of activations.

The coefficients were fitted by ``scripts/fit_memory.py`` to ``host_memory_rows.csv``, measured by
``scripts/measure_memory.py`` on x86-64 Linux. They hold the whole life of the process: onnxruntime still has the file's
content while it packs the weights, and so needs most memory as it loads; LiteRT maps the file, so that of a table of
tokens only the rows that are used count, and packs the other weights once more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgekd.algorithms.intervals import Bounds
from edgekd.runtimes.graph import Graph, Operator, elements
from edgekd.toml_file import Frozen

MODEL = Path(__file__).with_name("memory_model.json")
COSTS = ("conv", "dense", "tables", "arena")
# Around each page that is touched Linux maps what it has of 64 KiB (fault_around_bytes), and a row may cross pages.
AROUND = 65536


@dataclass(frozen=True, slots=True)
class Work:
    """What of a file takes memory, in bytes; ``operators`` is a number."""

    runtime: str
    conv: float  # weights of convolutions
    dense: float  # weights of matrix products
    tables: float  # other weights: all of them, or what looking up maps of a file
    unread: float  # the rest of a file's tables, which the kernel may map as well
    arena: float
    operators: float


class RuntimeMemory(Frozen):
    """Of one runtime: what it needs beside its code, and for each byte (operator) of a feature."""

    constant: float
    per: Mapping[str, float]
    factor: float  # of the 90 % interval around what is added, from families left out

    def added(self, work: Work) -> Bounds:
        """What a file adds to the process in which the runtime was imported."""
        point = self.constant + sum(cost * getattr(work, name) for name, cost in self.per.items())
        return Bounds(point, point / self.factor, point * self.factor)


class MemoryModel(Frozen):
    """Both runtimes, and the errors of families left out."""

    runtimes: Mapping[str, RuntimeMemory]
    left_out: Mapping[str, Any]
    rows: int
    basis: str


def work_of(graph: Graph) -> Work:
    """The features of a file."""
    weights = dict.fromkeys(("conv", "dense", "other"), 0.0)
    for each in graph.operators:
        weights["conv" if each.kind == "depthwise" else each.kind] += each.weight_bytes
    tables = weights["other"]
    if graph.runtime == "tflite":
        tables = sum(_looked_up(each, graph) for each in graph.operators if each.kind == "other")
    return Work(
        runtime=graph.runtime,
        conv=weights["conv"],
        dense=weights["dense"],
        tables=tables,
        unread=weights["other"] - tables,
        arena=graph.activation_peak_bytes,
        operators=len(graph.operators),
    )


def _looked_up(operator: Operator, graph: Graph) -> float:
    """What of an operator's table is mapped when each whole number of an input looks up one row."""
    numbers = max((elements(each.shape) for each in graph.inputs if each.dtype in {"int32", "int64"}), default=0)
    return min(operator.weight_bytes, numbers * AROUND) if numbers else operator.weight_bytes


@cache
def shipped() -> MemoryModel:
    """The model that lies beside this module."""
    return MemoryModel.model_validate(json.loads(MODEL.read_text(encoding="utf-8")))
