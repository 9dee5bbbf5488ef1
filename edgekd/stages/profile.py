"""Measure a model file on this host, in a fresh process: latency, load time, first inference, peak memory, energy."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES = ((Kind.ONNX, Kind.TFLITE),)
PRODUCES = Kind.PROFILE
LIBRARIES = ("onnxruntime", "ai-edge-litert", "numpy")
READS_DATA = True


class Config(Frozen):
    """How long to measure, and the machine: a profile of another machine is not reused."""

    artifact: str
    threads: int
    min_runs: Annotated[int, Field(ge=1)]
    min_seconds: Annotated[float, Field(ge=0)]
    machine: str


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the raw measurements of one file."""
    from edgekd import units
    from edgekd.profile import saved, session
    from edgekd.runtimes import BY_KIND

    runtime = BY_KIND[inputs[0].kind]
    feed = runtime.Runner(inputs[0].path, 1).feed(context.task(inputs).representative())
    rows = context.scratch / "inputs.npz"
    np.savez(rows, allow_pickle=False, **feed)
    plan = session.Plan(config.threads, config.min_runs, config.min_seconds)
    measured = session.profile(inputs[0].path, runtime.NAME, rows, config.artifact, plan)
    latency = next(m for m in measured if m.metric == "latency")
    p50, p95 = (units.show(latency.percentile(percent), "s") for percent in (50, 95))
    path = saved.save(measured, context.scratch / "profile.npz")
    return Product(path, {"summary": f"p50 {p50}, p95 {p95} over {len(latency.values):,} runs on this host"})
