"""Plan: turn a pipeline and a device into a checked list of steps, before any heavy import."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgekd import dotted
from edgekd.data.sources import Data
from edgekd.device import Device
from edgekd.errors import BadInputError, MissingExtraError
from edgekd.limits import Limit, merge
from edgekd.pipeline import ModelConfig, Pipeline, QuantizeStep
from edgekd.profile.conditions import host_conditions, host_fingerprint
from edgekd.stages import (
    calibration,
    profile,
    quantize_onnx,
    quantize_tflite,
    student,
    teacher,
    teacher_outputs,
)
from edgekd.stages.base import NoConfig
from edgekd.stages.quantizing import Isa
from edgekd.toml_file import Frozen

RUNTIME_OF = {"onnx": "onnxruntime", "tflite": "tflite"}
NEEDED = {
    "torch": "build",
    "safetensors": "build",
    "torch_pruning": "build",
    "onnxscript": "build",
}
NEEDED_BY_TFLITE = {"litert_torch": "tflite", "litert_quantizer": "tflite", "ai_edge_litert": "tflite"}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to pipeline and device."""

    limits: tuple[Limit, ...] = ()
    control: bool = False
    quick: bool = False
    threads: int = 1
    require: str | None = None  # the least provenance that is judged
    allow_inconclusive: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One step: a stage, its options, and the names of the steps whose artifacts it takes."""

    name: str
    stage: str
    config: Frozen
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will be done."""

    pipeline: Pipeline
    device: Device
    options: Options
    nodes: tuple[Node, ...]
    limits: tuple[Limit, ...]
    data: Data


def make(pipeline: Pipeline, device: Device, options: Options) -> Plan:
    """Check that everything needed is there, and list the steps.

    Raises:
        BadInputError: what can be known to fail now.

    """
    formats = _formats(pipeline, device)
    _check_extras(formats)
    limits = merge(merge(device.limits, pipeline.limits), options.limits)
    if "quality" not in {limit.metric for limit in limits}:
        raise BadInputError(
            f"{device.path}: found no quality limit, expected one, or the smallest model would always win",
            "add for example: quality = '>= 94 % of teacher' to [budget]",
        )
    data = Data(pipeline.data)
    data.source.check()
    nodes = tuple(_nodes(pipeline, device, options, formats))
    return Plan(pipeline, device, options, nodes, limits, data)


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


def _check_extras(formats: tuple[str, ...]) -> None:
    needed = {**NEEDED, **(NEEDED_BY_TFLITE if "tflite" in formats else {})}
    missing = [module for module in needed if find_spec(module) is None]
    if missing:
        extras = ",".join(dict.fromkeys(needed[module] for module in missing))
        raise MissingExtraError(missing[0].replace("_", "-"), extras, "edgekd build")


def _nodes(pipeline: Pipeline, device: Device, options: Options, formats: tuple[str, ...]) -> Iterator[Node]:
    yield from _float_nodes(pipeline, options)
    yield from _file_nodes(pipeline, device, formats)
    yield from _evaluations(pipeline, options, formats)
    yield from _profiles(pipeline, device, options, formats)


def _float_nodes(pipeline: Pipeline, options: Options) -> Iterator[Node]:
    weights = pipeline.teacher_weights()
    yield Node("teacher", "teacher", _teacher_config(pipeline.teacher, weights))
    distill, prune = pipeline.step("distill"), pipeline.step("prune")
    if distill is not None or prune is not None:
        augment = teacher_outputs.Config(**pipeline.augment.model_dump())
        yield Node("teacher_outputs", "teacher_outputs", augment, ("teacher",))
    if pipeline.student is not None and distill is not None:
        yield Node("student_start", "student", _student_config(pipeline.student))
        yield Node(head_before_pruning(pipeline), "distill", distill, ("student_start", "teacher_outputs"))
        if options.control:
            labels_alone = distill.model_copy(update={"alpha": 0.0})
            yield Node("control", "distill", labels_alone, ("student_start", "teacher_outputs"))
    if prune is not None:
        yield Node("student_float", "prune", prune, (head_before_pruning(pipeline), "teacher_outputs"))


def head_before_pruning(pipeline: Pipeline) -> str:
    """The float model that pruning would start from: the distilled student, or the teacher itself."""
    if pipeline.step("distill") is None:
        return "teacher"
    return "student_float" if pipeline.step("prune") is None else "student_unpruned"


def final_float(pipeline: Pipeline) -> str:
    """The float model that is exported."""
    return "student_float" if pipeline.step("prune") is not None else head_before_pruning(pipeline)


def _file_nodes(pipeline: Pipeline, device: Device, formats: tuple[str, ...]) -> Iterator[Node]:
    quantize: QuantizeStep = pipeline.step("quantize") or QuantizeStep()
    yield Node("calibration", "calibration", calibration.Config(samples=quantize.calibration_samples))
    isa = target_isa(device)
    for name in formats:
        yield Node(f"teacher_{name}", f"export_{name}", NoConfig(), ("teacher",))
        yield Node(f"{name}_float", f"export_{name}", NoConfig(), (final_float(pipeline),))
        stage = quantize_onnx if name == "onnx" else quantize_tflite
        config = stage.Config(method=quantize.method, isa=isa)
        yield Node(f"{name}_int8", f"quantize_{name}", config, (f"{name}_float", "calibration"))
    if pipeline.step("prune") is not None and formats:
        unpruned = head_before_pruning(pipeline)
        if unpruned != "teacher":
            yield Node(f"{formats[0]}_unpruned", f"export_{formats[0]}", NoConfig(), (unpruned,))


def _evaluations(pipeline: Pipeline, options: Options, formats: tuple[str, ...]) -> Iterator[Node]:
    names = ["teacher"]
    if pipeline.step("distill") is not None:
        names += ["student_start", *(["control"] if options.control else []), head_before_pruning(pipeline)]
    names += [final_float(pipeline), *(f"{name}_{form}" for name in formats for form in ("float", "int8"))]
    for name in dict.fromkeys(names):
        yield Node(f"evaluate {name}", "evaluate", NoConfig(), (name,))


def _profiles(pipeline: Pipeline, device: Device, options: Options, formats: tuple[str, ...]) -> Iterator[Node]:
    machine = host_fingerprint()
    names = [f"{kind}_{name}" for name in formats for kind in ("teacher",)]
    names += [f"{name}_{form}" for name in formats for form in ("float", "int8")]
    if pipeline.step("prune") is not None and formats and head_before_pruning(pipeline) != "teacher":
        names.append(f"{formats[0]}_unpruned")
    for name in names:
        config = profile.Config(
            artifact=name,
            threads=device.threads if device.is_host else options.threads,
            min_runs=64 if options.quick else 1024,
            min_seconds=_seconds(name, device, options),
            machine=machine,
        )
        yield Node(f"profile {name}", "profile", config, (name,))


def _seconds(name: str, device: Device, options: Options) -> float:
    """A minute for what is judged by it, five seconds for what is shown beside a prediction."""
    if options.quick:
        return 0.5
    return 60.0 if device.is_host and name.endswith("_int8") else 5.0


def target_isa(device: Device) -> Isa:
    """The instruction set that the INT8 files are made for."""
    if device.is_host:
        return host_isa()
    if device.arch == "arm64":
        return "arm64"
    return "x86-vnni" if device.has("vnni") else "x86"


def host_isa() -> Isa:
    """The instruction set of this machine, as far as it decides how INT8 is stored."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "arm64"
    return "x86-vnni" if "vnni" in host_conditions()["isa"] else "x86"


def _teacher_config(config: ModelConfig, weights: Path) -> teacher.Config:
    return teacher.Config(
        model=config.model,
        options=config.options,
        weights=weights,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        code_sha256=dotted.digest(config.model, "[teacher] model"),
    )


def _student_config(config: ModelConfig) -> student.Config:
    return student.Config(
        model=config.model, options=config.options, code_sha256=dotted.digest(config.model, "[student] model")
    )
