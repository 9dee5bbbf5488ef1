"""The shipped latency model: coefficients fitted to published rows by ``scripts/fit_latency.py``, and their errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from edgekd.algorithms.intervals import Bounds
from edgekd.device import Cluster, Device
from edgekd.toml_file import Frozen

FILE = Path(__file__).with_suffix(".json")
IN_ORDER = {"Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520"}
Precision = Literal["int8", "float"]
Scheduling = Literal["board", "phone"]


class Range(Frozen):
    """A point and its bounds as they stand in the file."""

    point: float
    lower: float
    upper: float
    basis: str = ""

    @property
    def bounds(self) -> Bounds:
        """The same for arithmetic."""
        return Bounds(self.point, self.lower, self.upper)


class PublishedSource(Frozen):
    """Where rows come from."""

    source: str
    licence: str
    commit: str
    rows: int


class Errors(Frozen):
    """How far predictions of rows left out were from what was published."""

    rows: int
    chips: int
    median_ratio_error: float
    p90_ratio_error: float
    lower_factor: float  # measured / predicted
    upper_factor: float
    coverage: float  # share of left-out rows inside an interval made without their chip


class Core(Frozen):
    """The rate of one core, and the devices from which it was taken."""

    core: str
    macs_per_cycle: float
    devices: tuple[str, ...]


class IsaClass(Frozen):
    """Cores with the same order of execution and integer instructions."""

    isa_class: str
    macs_per_cycle: float
    lower_factor: float
    upper_factor: float
    left_out: Mapping[str, Errors]


class PrecisionModel(Frozen):
    """Costs of one precision, in units of a convolution's multiply-accumulate."""

    depthwise_cost: float
    weight_byte_cost: float
    smallest_macs: float
    cores: tuple[Core, ...]
    classes: tuple[IsaClass, ...]
    left_out: Mapping[str, Errors]


class RuntimeBase(Frozen):
    """What a runtime needs before it has loaded anything."""

    base_bytes: Range


class Memory(Frozen):
    """Of both runtimes; ``elsewhere`` is by how much a file may need more or less than where that was measured."""

    onnxruntime: RuntimeBase
    tflite: RuntimeBase
    elsewhere: float
    basis: str


class PowerMargins(Frozen):
    """Factors on both ends of a published power figure."""

    own: float
    carried_over: float
    basis: str


class LatencyModel(Frozen):
    """All that a prediction needs beside the graph and the device."""

    version: str
    confidence: float
    rows: int
    sources: tuple[PublishedSource, ...]
    operator_cycles: Range
    precisions: Mapping[Precision, PrecisionModel]
    percentile_ratios: Mapping[Scheduling, Mapping[str, Range]]
    seen_operators: tuple[str, ...]
    unseen_operators: Range
    memory: Memory
    power_margins: PowerMargins


@cache
def shipped() -> LatencyModel:
    """Read the model that lies beside this module."""
    return LatencyModel.model_validate(json.loads(FILE.read_text(encoding="utf-8")))


def isa_class_of(cluster: Cluster, device: Device) -> str:
    """The class of a core, from what the device file says of its instruction set.

    An extension that is not named counts as absent, which predicts slower, never faster. An in-order core that has
    i8mm is predicted as one with dotprod: no row is of such a core.
    """
    if cluster.core in IN_ORDER:
        return f"in-order {'dotprod' if device.has('dotprod') else 'neon'}"
    extension = "i8mm" if device.has("i8mm") else "dotprod" if device.has("dotprod") else "neon"
    return f"out-of-order {extension}"
