"""What a file takes on an emulated Arm core: memory. No time, for that would be the emulator's.

Instructions aren't counted: Debian's qemu 10, the first that computes INT8 rightly on every core, has no plugins, and
without them it can only log each block that it runs, gigabytes for the start of Python alone.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.bundle import golden
from edgekd.bundle.golden import GoldenIndex
from edgekd.bundle.inputs import DRAFT
from edgekd.bundle.manifest import read
from edgekd.errors import BadInputError, StageError
from edgekd.profile import answer as answers
from edgekd.profile import child
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.targets.arm64 import guest
from edgekd.targets.arm64_tools import Tools
from edgekd.targets.base import Subject

INCLUDES = "qemu itself and the code that it translated, in the peaks and in the base of the runtime alike"
NO_COUNT = "qemu {} of Debian has no plugins, which would count them"


def measure(subject: Subject, cpu: str, tools: Tools) -> tuple[Measurement, ...]:
    """Load and run a file in a fresh process on the emulated core; its peak memory, and why there is no count.

    Raises:
        BadInputError: the runtime can't load or run the file there.
        StageError: the runtime doesn't start there.

    """
    found = _answer(subject, cpu, tools)
    conditions = {"cpu": f"{cpu}, emulated", "qemu": tools.qemu_version, "runtime": subject.runtime, "threads": "1"}
    conditions |= {name: str(found[name]) for name in ("base_memory_bytes", "load_peak_bytes")}
    size_bytes = subject.path.stat().st_size
    origin = answers.Origin(subject.artifact, size_bytes, Provenance.EMULATED, conditions)
    return (
        answers.single(origin, "peak_memory", "B", found["peak_memory_bytes"], includes=INCLUDES),
        answers.single(origin, "instructions", "count", None, NO_COUNT.format(tools.qemu_version)),
    )


def of_bundle(root: Path, cpu: str, tools: Tools) -> Iterator[Measurement]:
    """The same of the model files of a bundle's draft in the folder ``root``, fed with the first golden vector."""
    first = GoldenIndex.model_validate_json((root / golden.INDEX).read_bytes()).items[0]
    for model in read(root / DRAFT).models:
        rows = {each.name: golden.load(root, each) for each in first.models[model.file].inputs}
        with tempfile.TemporaryDirectory(prefix="edgekd-arm64-") as scratch:
            inputs = Path(scratch) / "inputs.npz"
            np.savez(inputs, allow_pickle=False, **rows)
            runtime = {"onnx": "onnxruntime", "tflite": "tflite"}[model.format]
            yield from measure(Subject(f"{model.format}_int8", root / model.file, runtime, inputs), cpu, tools)


def _answer(subject: Subject, cpu: str, tools: Tools) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="edgekd-arm64-") as scratch:
        request = child.Request(
            model=str(subject.path.resolve()),
            runtime=subject.runtime,
            threads=1,
            inputs=str(subject.inputs.resolve()),
            samples="samples",  # times of the emulator, which nobody reads
            min_runs=1,
            min_seconds=0.0,
        )
        shutil.copy(child.__file__, scratch)
        (Path(scratch) / "request.json").write_text(json.dumps(asdict(request)), encoding="utf-8")
        done = guest(Path(scratch), cpu, tools, "child.py", "request.json", "answer.json")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StageError(f"arm64 ({cpu}, qemu {tools.qemu_version}): it ended with {done.returncode}: {last}")
        found: dict[str, Any] = json.loads((Path(scratch) / "answer.json").read_text(encoding="utf-8"))
    if "refused" in found:
        raise BadInputError(found["refused"], "the runtime's build for aarch64 lacks what this file needs")
    return found
