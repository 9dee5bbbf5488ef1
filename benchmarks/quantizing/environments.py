"""Environments: a virtual environment for each rival, and its script run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
MARKER = "requirements.txt"
MINUTES = 40.0  # at most, of installing and of quantizing one file
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Rival:
    """A tool: what is installed for it, and which format it writes by which settings."""

    name: str
    script: str
    requirements: tuple[str, ...]
    form: str = "onnx"  # or 'tflite', or 'torch' for one that writes no file
    settings: tuple[str, ...] = ("default",)


RIVALS = (
    Rival(
        "onnxruntime",
        "by_onnxruntime",
        ("onnxruntime==1.31.1", "onnx==1.23.2", "sympy==1.14.0"),
        settings=("default", "best"),
    ),
    Rival("nncf", "by_nncf", ("nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.31.1"), settings=("default", "best")),
    Rival(
        "litert-quantizer",
        "by_litert",
        ("litert-quantizer==0.11.0", "ai-edge-litert==2.3.0"),
        form="tflite",
        settings=("default", "best"),
    ),
    Rival("optimum-onnx", "by_optimum", ("optimum-onnx[onnxruntime]==0.1.0", "torch==2.13.0", "datasets")),
    Rival(
        "onnx-neural-compressor",
        "by_neural_compressor",
        (
            *("onnx-neural-compressor==1.0", "onnx==1.16.2", "onnxruntime==1.18.1", "transformers==4.44.2"),
            *("prettytable==3.12.0", "scipy==1.13.1", "sympy==1.14.0"),  # which it imports and doesn't ask for
        ),
    ),
    Rival("olive", "by_olive", ("olive-ai==0.13.0", "onnxruntime==1.31.1", "torch==2.13.0", "requests==2.34.2")),
    Rival(
        "torchao",
        "by_torchao",
        ("torchao==0.18.0", "torch==2.13.0", "transformers==5.23.0", "safetensors", "pydantic>=2.11", "onnx"),
        form="torch",
    ),
)


class FailedError(Exception):
    """A rival didn't install or run; the text is the last line of what it said."""


def run(rival: Rival, arguments: Sequence[str | Path], folder: Path) -> None:
    """Run the rival's script in its environment below ``folder``, which is made first where it isn't ready.

    Raises:
        FailedError: it couldn't be installed, or its script failed.

    """
    python = ready(rival, folder)
    paths = (BENCHMARKS, BENCHMARKS.parent) if rival.form == "torch" else (BENCHMARKS,)
    command = [python, "-m", f"quantizing.rivals.{rival.script}", *arguments]
    call(command, {"PYTHONPATH": os.pathsep.join(map(str, paths))})


def ready(rival: Rival, folder: Path) -> Path:
    """The Python of the rival's environment."""
    root = folder / rival.name
    python, marker, wanted = root / "bin" / "python", root / MARKER, "\n".join(rival.requirements)
    if not marker.is_file() or marker.read_text() != wanted:
        print(f"{rival.name}: installing {', '.join(rival.requirements)}", flush=True)
        call([sys.executable, "-m", "venv", "--clear", root])
        call([python, "-m", "pip", "install", "-qq", *rival.requirements])
        marker.write_text(wanted)
    return python


def call(command: Sequence[str | Path], more: dict[str, str] | None = None) -> None:
    """Run a command whose output nobody wants unless it fails.

    Raises:
        FailedError: it did, or took too long.

    """
    environment = os.environ | ENVIRONMENT | (more or {})
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60 * MINUTES,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"took more than {MINUTES:g} minutes") from None
    if done.returncode:
        raise FailedError(last_line(done.stdout) or f"ended with {done.returncode}")


def last_line(said: str) -> str:
    """The last line that isn't empty."""
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
