"""A working folder in which the real command line is started, and the tiny pipeline that it builds there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import warm

from edgekd import device, executor, pipeline, planning
from edgekd.artifact import Artifact
from edgekd.progress import Quiet
from edgekd.store import Store

TESTS = Path(__file__).parent
PIPELINE = """\
task = "image-classification"
seed = 5

[data]
use = "tiny:data"
selection = 30

[augment]
views = 2
flip = true
shift_pixels = 1

[teacher]
model = "tinynet:teacher"
weights = "teacher.safetensors"

[student]
model = "tinynet:student"

[[stages]]
use = "distill"
epochs = 30
batch_size = 30
learning_rate = 0.1

[[stages]]
use = "prune"
macs_kept = 0.75
epochs = 6
batch_size = 30
learning_rate = 0.05

[[stages]]
use = "export"
formats = ["onnx", "tflite"]

[[stages]]
use = "quantize"
calibration_samples = 60
max_drop = 0.05

[parity]
int8_drop = 0.1
int8_top1 = 0.8
int8_cosine = 0.9
formats_top1 = 0.8
formats_cosine = 0.9

[budget]
quality = ">= 50 %"
"""
COLUMNS = {"COLUMNS": "100"}
FRAMEWORKS = {  # what building needs, and no other command may import
    *("torch", "torchvision", "transformers", "accelerate", "safetensors", "datasets", "sklearn", "PIL"),
    *("tensorflow", "keras", "litert_torch", "litert_quantizer"),
}
ONNX_ONLY = PIPELINE.replace('["onnx", "tflite"]', '["onnx"]')


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


def run_script(script: Path, folder: Path, *arguments: str) -> Ran:
    """Run a script that lies beside the package, with one thread."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def imported(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """The exit code of a command in a fresh interpreter, and every module that it imported."""
    script = (
        "import sys; from edgekd.cli import run; code = run(sys.argv[1:]); print('|', *sys.modules); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, set(done.stdout.rpartition("|")[2].split())


@dataclass(frozen=True)
class Workshop:
    """A working folder with tiny.py, tinynet.py, the teacher's weights and pipelines, in which edgekd is started."""

    folder: Path

    def pipeline(self, name: str, text: str = PIPELINE) -> str:
        (self.folder / f"{name}.toml").write_text(text, encoding="utf-8")
        return f"{name}.toml"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A fresh process, to be interrupted or looked at while it runs."""
        return subprocess.Popen(
            [sys.executable, "-m", "edgekd", *arguments],
            cwd=self.folder,
            env=os.environ | COLUMNS | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> Ran:
        """The command line in a process of its own: where it can be, a fork of one that imported what builds need."""
        if warm.started().fits(environment):
            return Ran(*warm.started().run(self.folder, arguments, os.environ | COLUMNS))
        return self.run_afresh(*arguments, **environment)

    def run_afresh(self, *arguments: str, **environment: str) -> Ran:
        """The command line in a fresh interpreter."""
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=900)
        return Ran(process.returncode, out, err)


@dataclass(frozen=True)
class Built:
    """The workshop after its first build: what was printed, and the report."""

    workshop: Workshop
    ran: Ran

    @property
    def output(self) -> Path:
        return self.workshop.folder / "out"

    @property
    def run_folder(self) -> Path:
        return Path(self.ran.out.splitlines()[-1]).parent

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.workshop.folder / self.run_folder / "report.json").read_text())
        return found

    def again(self, *arguments: str) -> Ran:
        """Build once more: everything is in the store."""
        return self.workshop.run("build", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out", *arguments)


def made(path: Path, last: str) -> dict[str, Artifact]:
    """What the step ``last`` of a pipeline for the Pixel 8 needs, and itself, made in this process."""
    whole = planning.make(pipeline.load(str(path)), device.load("pixel8"), planning.Options())
    nodes = {node.name: node for node in whole.nodes}
    needed = [last]
    for name in needed:
        needed += nodes[name].inputs
    some = replace(whole, nodes=tuple(node for node in whole.nodes if node.name in needed))
    return {step.name: step.artifact for step in executor.run(some, Store(path.parent / "store"), Quiet())}


def furnish(folder: Path, weights: Path) -> Workshop:
    for name in ("tiny.py", "tinynet.py"):
        shutil.copy(TESTS / name, folder)
    shutil.copy(weights, folder / "teacher.safetensors")
    return Workshop(folder)
