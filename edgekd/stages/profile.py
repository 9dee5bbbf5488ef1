"""Measure a model file on the device, or here in its place: latency, load time, first inference, memory, energy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

if TYPE_CHECKING:
    from edgekd.profile.measurement import Measurement
    from edgekd.tasks.base import Task

VERSION = 3
CONSUMES = ((Kind.ONNX, Kind.TFLITE),)
PRODUCES = Kind.PROFILE
LIBRARIES = ("onnxruntime", "ai-edge-litert", "numpy")
READS_DATA = True


class Config(Frozen):
    """How long to measure, and where: a profile of another ``machine`` is not reused."""

    artifact: str
    threads: int
    min_runs: Annotated[int, Field(ge=1)]
    min_seconds: Annotated[float, Field(ge=0)]
    machine: str  # what names it, with its versions
    device_file: Path  # says how to get there
    sustained: bool = False  # run until the speed is steady
    load: int = 0  # measure again beside so many busy cores
    checks: int = 0  # rows whose outputs are compared first, where the target does that: those of the bundle
    observe: bool = False  # also which operator takes how long, and memory over time


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the raw measurements of one file."""
    from edgekd import device, targets, units
    from edgekd.profile import saved
    from edgekd.profile.measurement import Provenance
    from edgekd.profile.rules import Plan
    from edgekd.runtimes import BY_KIND

    runtime = BY_KIND[inputs[0].kind]
    runner = runtime.Runner(inputs[0].path, 1)
    feed = runner.feed(context.task(inputs).representative())
    rows = context.scratch / "inputs.npz"
    np.savez(rows, allow_pickle=False, **feed)
    checks = _checks(runner, context.task(inputs), config.checks, context) if config.checks else None
    subject = targets.Subject(config.artifact, inputs[0].path, runtime.NAME, rows, checks=checks)
    plan = Plan(config.threads, config.min_runs, config.min_seconds, config.sustained)
    try:
        with targets.measuring(device.load(str(config.device_file))) as session:
            measured = session.measure(subject, plan)
            if config.load:
                measured += loaded(session.measure(subject, replace(plan, load=config.load, sustained=False)))
            observed = session.observe(subject, plan) if config.observe else None
    except targets.IncompleteError as error:
        raise error.kept(context.partial / f"{config.artifact}.incomplete.npz") from None
    latency = next(m for m in measured if m.metric == "latency")
    place = "the device" if latency.provenance is Provenance.ON_DEVICE else "this host"
    path = saved.save(measured, context.scratch / "profile.npz", observed)
    if not latency.values:
        return Product(path, {"summary": f"no single runs on {place}: {latency.unavailable}"})
    p50, p95 = (units.show(latency.percentile(percent), "s") for percent in (50, 95))
    return Product(path, {"summary": f"p50 {p50}, p95 {p95} over {len(latency.values):,} runs on {place}"})


def loaded(measured: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """Of a session beside busy cores, the latency, under a name of its own."""
    return tuple(replace(each, metric="loaded_latency") for each in measured if each.metric == "latency")


def _checks(runner: Any, task: Task, wanted: int, context: Context) -> Path:
    """The inputs of the rows that are a bundle's golden vectors."""
    from edgekd.bundle.golden_rows import golden_rows

    chosen = np.array(golden_rows(task.count("test"), task.test_labels, wanted, context.seed))
    fed = {
        f"{number}/{name}": values
        for number, row in enumerate(task.each("test", chosen))
        for name, values in runner.feed(row).items()
    }
    np.savez(context.scratch / "checks.npz", allow_pickle=False, **fed)
    return context.scratch / "checks.npz"
