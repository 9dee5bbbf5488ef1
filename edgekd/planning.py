"""Plan: turn a pipeline and a device into a checked list of steps, before any heavy import."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgekd.applicable import check_length, check_steps
from edgekd.device import Device
from edgekd.errors import BadInputError, MissingExtraError
from edgekd.learnable import check_losses, check_tables, check_teachers, check_tuning
from edgekd.limits import Limit, merge
from edgekd.node import Node
from edgekd.pipeline import Pipeline
from edgekd.readers import TEXTS
from edgekd.targets import is_measured
from edgekd.targets.arm64_cores import check_emulated
from edgekd.tasks import TaskData
from edgekd.wiring import Options, Wiring

__all__ = ["Node", "Options", "Plan", "make"]

RUNTIME_OF = {"onnx": "onnxruntime", "tflite": "tflite"}
NEEDED = {
    "torch": "build",
    "safetensors": "build",
    "torch_pruning": "build",
    "onnxscript": "build",
    "accelerate": "build",
}
NEEDED_BY_TEXTS = {"transformers": "build", "sklearn": "build"}
NEEDED_BY_TFLITE = {"litert_torch": "tflite", "litert_quantizer": "tflite", "ai_edge_litert": "tflite"}
DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # what pip calls a module, where a dash for each '_' doesn't give it
NEEDED_BY_KERAS = {"tensorflow": "tensorflow"}


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will be done."""

    pipeline: Pipeline
    device: Device
    options: Options
    nodes: tuple[Node, ...]
    limits: tuple[Limit, ...]
    data: TaskData
    tuning: TaskData | None = None  # of the stage 'finetune', where it has data of its own

    def data_of(self, node: Node) -> TaskData:
        """What ``node`` reads."""
        return self.tuning if node.own_data and self.tuning is not None else self.data


def make(pipeline: Pipeline, device: Device, options: Options, cache: Path | None = None) -> Plan:
    """Check that everything needed is there, and list the steps; ``cache`` takes tables that are mapped into memory.

    Raises:
        BadInputError: what can be known to fail now.

    """
    formats = _formats(pipeline, device)
    _check_extras(pipeline, formats)
    limits = merge(merge(device.limits, pipeline.limits), options.limits)
    if "quality" not in {limit.metric for limit in limits}:
        raise BadInputError(
            f"{device.path}: found no quality limit, expected one, or the smallest model would always win",
            "add for example: quality = '>= 94 % of teacher' to [budget]",
        )
    if options.parity == "arm64":
        check_emulated(device, "--parity arm64")
    _check_measured(device, options)
    data = TaskData(pipeline.task, pipeline.data, cache)
    data.source.check()
    check_steps(pipeline)
    check_teachers(pipeline)
    check_length(pipeline)
    check_losses(pipeline)
    scored = check_tables(pipeline, data, limits)
    tuning = check_tuning(pipeline, data, cache)
    nodes = tuple(Wiring(pipeline, device, options, formats, scored).nodes())
    return Plan(pipeline, device, options, nodes, limits, data, tuning)


def _check_measured(device: Device, options: Options) -> None:
    if (options.sustained or options.load) and not is_measured(device):
        raise BadInputError(
            f"{device.path}: found --sustained or --load, expected a device that is measured",
            "a prediction knows neither: give the device file a [reach] table, or use --device host",
        )


def _formats(pipeline: Pipeline, device: Device) -> tuple[str, ...]:
    export = pipeline.step("export")
    formats: tuple[str, ...] = export.formats if export is not None else ()
    for name in formats:
        if RUNTIME_OF[name] not in device.runtimes:
            raise BadInputError(
                f"{pipeline.path}: found the format {name!r}, which {device.name} can't run: "
                f"its runtimes are {', '.join(device.runtimes)} ({device.path})"
            )
    return formats


def _check_extras(pipeline: Pipeline, formats: tuple[str, ...]) -> None:
    needed = {**NEEDED, **(NEEDED_BY_TFLITE if "tflite" in formats else {})}
    needed |= NEEDED_BY_TEXTS if pipeline.task in TEXTS else {}
    needed |= NEEDED_BY_KERAS if any(each.form == "keras" for each in pipeline.all_teachers) else {}
    missing = [module for module in needed if find_spec(module) is None]
    if missing:
        extras = ",".join(dict.fromkeys(needed[module] for module in missing))
        package = DISTRIBUTIONS.get(missing[0], missing[0].replace("_", "-"))
        raise MissingExtraError(package, extras, "edgekd build")
