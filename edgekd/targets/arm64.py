"""Arm without a board: a bundle's golden vectors on the runtimes' own aarch64 builds, emulated by qemu-user.

Numerics, and memory (``arm64_memory``). How long anything takes there says nothing of a device, and no time is taken.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.bundle import golden, runner
from edgekd.bundle.closeness import Closeness, closeness, tolerance
from edgekd.bundle.golden import GoldenIndex, Item, Tolerance
from edgekd.bundle.manifest import Manifest, Model
from edgekd.errors import StageError
from edgekd.targets.arm64_tools import Tools

RUNTIMES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}
LONGEST_S = 1800.0
# Starting Python under qemu takes seconds, so that one process runs all files.
GUEST = "import json, sys, runner\nfor n in sys.argv[1:]: print(json.dumps(runner.main(n + '.json', n + '.npz')))"

Outputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One model file on the emulated core, beside the golden vectors."""

    file: str
    within: Tolerance
    found: Closeness
    same_top1: int | None  # of how many vectors the largest logit is that of the golden output; None for vectors


def compare(root: Path, manifest: Manifest, cpu: str, tools: Tools) -> tuple[Outcome, ...]:
    """Run the golden vectors of the bundle in the folder ``root``, whose files were checked, on an emulated core.

    Raises:
        StageError: a runtime doesn't start there, or can't run a file.

    """
    index = GoldenIndex.model_validate_json((root / manifest.golden.index).read_bytes())
    outputs = run(root, manifest.models, index.items, cpu, tools)
    return tuple(outcome(root, model, index, outputs[model.file]) for model in manifest.models)


def run(root: Path, models: Sequence[Model], items: Sequence[Item], cpu: str, tools: Tools) -> dict[str, list[Outputs]]:
    """What each file gives for each item on the emulated core, as it gives it."""
    with tempfile.TemporaryDirectory(prefix="edgekd-arm64-") as scratch:
        for number, model in enumerate(models):
            text = json.dumps(_job(root.resolve(), model, items))
            (Path(scratch) / f"{number}.json").write_text(text, encoding="utf-8")
        _emulate([str(number) for number in range(len(models))], Path(scratch), cpu, tools)
        return {model.file: _read(Path(scratch) / f"{number}.npz", len(items)) for number, model in enumerate(models)}


def _job(root: Path, model: Model, items: Sequence[Item]) -> dict[str, Any]:
    inputs = [[each.model_dump(mode="json") for each in item.models[model.file].inputs] for item in items]
    return {"runtime": RUNTIMES[model.format], "root": str(root), "model": str(root / model.file), "items": inputs}


def guest(scratch: Path, cpu: str, tools: Tools, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the emulated core to its end, in the folder ``scratch``, from which it can import.

    Raises:
        StageError: it doesn't end.

    """
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR")}
    environment = {**kept, "PYTHONPATH": f"{tools.wheels}:{scratch}", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    try:
        return subprocess.run(
            tools.command(cpu, "-P", *arguments),
            cwd=scratch,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(f"arm64 ({cpu}): found no end after {LONGEST_S:.0f} s of emulating") from error


def _emulate(jobs: Sequence[str], scratch: Path, cpu: str, tools: Tools) -> None:
    shutil.copy(runner.__file__, scratch)  # alone: its neighbours must not be taken for other modules
    done = guest(scratch, cpu, tools, "-c", GUEST, *jobs)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    wrong = next((each["error"] for each in told if "error" in each), None)
    if wrong is None and (done.returncode or len(told) < len(jobs)):
        wrong = f"it ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
    if wrong is not None:
        raise StageError(f"arm64 ({cpu}, qemu {tools.qemu_version}): {wrong}")


def _read(path: Path, count: int) -> list[Outputs]:
    with np.load(path, allow_pickle=False) as arrays:
        split = [(name.partition("/"), arrays[name]) for name in arrays.files]
    return [{key[2]: values for key, values in split if key[0] == str(number)} for number in range(count)]


def outcome(root: Path, model: Model, index: GoldenIndex, found: Sequence[Outputs]) -> Outcome:
    """What a file gave there beside what it should give."""
    within = tolerance(index.tolerances[model.file], "arm64")
    if within is None:
        raise StageError(f"{model.file}: found no tolerance for arm64 in {golden.INDEX}, expected one")
    expected = [
        {each.name: golden.load(root, each) for each in item.models[model.file].outputs} for item in index.items
    ]
    compared = closeness(model.outputs, expected, found, within)
    return Outcome(model.file, within, compared, _same_top1(model, expected, found))


def _same_top1(model: Model, expected: Sequence[Outputs], found: Sequence[Outputs]) -> int | None:
    name = next((each.name for each in model.outputs if each.role == "logits"), None)
    if name is None:
        return None
    return sum(int(a[name].argmax() == b[name].argmax()) for a, b in zip(expected, found, strict=True))
