"""Run a bundle's golden inputs on a runtime, in a process of its own: of this environment, or of a throw-away one.

A file that makes its runtime crash ends that process alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.bundle import least_versions, runner
from edgekd.bundle.golden import Item
from edgekd.errors import BadInputError, StageError, nearest

RUNTIMES = {"onnx": ("onnxruntime",), "tflite": ("ai-edge-litert", "tflite-runtime")}
NAMES = tuple(name for names in RUNTIMES.values() for name in names)
NUMPY_2_SINCE = {"onnxruntime": "1.19.0", "ai-edge-litert": "2.0.0"}  # older ones, and any tflite-runtime, want numpy 1
LONGEST_S = 600.0

Outputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that can be started; ``version`` is '' where it doesn't say one."""

    name: str
    version: str
    python: Path

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of it: outputs by name for each vector, or why there are none."""

    outputs: tuple[Outputs, ...] = ()
    error: str = ""
    missing: bool = False  # the runtime itself can't be started


def installed() -> tuple[Runtime, ...]:
    """The runtimes of this environment."""
    found = [name for name in NAMES if find_spec(runner.MODULES[name]) is not None]
    return tuple(Runtime(name, _version(name), Path(sys.executable)) for name in found)


def parse(text: str) -> tuple[str, str]:
    """Name and version of 'NAME==VERSION'.

    Raises:
        BadInputError: another form, or a runtime that edgekd doesn't know.

    """
    name, equals, wanted = text.partition("==")
    numbers = wanted.split(".")
    if not equals or not all(part.isascii() and part.isdigit() for part in numbers):
        raise BadInputError(f"--runtime: found {text!r}, expected NAME==VERSION", "for example onnxruntime==1.18.0")
    if name not in NAMES:
        raise BadInputError(f"--runtime: found the runtime {name!r}", nearest(name, NAMES))
    return name, wanted


@contextmanager
def fetched(name: str, wanted: str) -> Iterator[Runtime]:
    """A throw-away virtual environment with that version of a runtime.

    Raises:
        StageError: it can't be made or downloaded; the message has what pip said.

    """
    with tempfile.TemporaryDirectory(prefix="edgekd-runtime-") as folder:
        _call([sys.executable, "-I", "-m", "venv", folder], f"{name} {wanted}: no virtual environment can be made")
        python = Path(folder) / "bin" / "python"
        pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        _call(
            [*pip, "--only-binary=:all:", *requirements(name, wanted)],
            f"{name} {wanted} can't be installed for Python {sys.version_info[0]}.{sys.version_info[1]}",
        )
        yield Runtime(name, wanted, python)


def requirements(name: str, wanted: str) -> tuple[str, ...]:
    """What pip is asked for.

    >>> requirements("onnxruntime", "1.18.0"), requirements("onnxruntime", "1.19.0")
    (('onnxruntime==1.18.0', 'numpy<2'), ('onnxruntime==1.19.0',))
    """
    since = NUMPY_2_SINCE.get(name)
    old = since is None or least_versions.older(wanted, since)
    return (f"{name}=={wanted}", *(("numpy<2",) * old))


def run(runtime: Runtime, root: Path, file: str, items: Sequence[Item]) -> Ran:
    """Run the golden inputs of the model ``file`` of the bundle at ``root``."""
    inputs = [[each.model_dump(mode="json") for each in item.models[file].inputs] for item in items]
    where = root.resolve()
    job = {"runtime": runtime.name, "root": str(where), "model": str(where / file), "items": inputs}
    with tempfile.TemporaryDirectory(prefix="edgekd-verify-") as folder:
        (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        told = _started(runtime, Path(folder))
        if "error" in told:
            return Ran(error=str(told["error"]), missing=bool(told["missing"]))
        with np.load(Path(folder) / "out.npz", allow_pickle=False) as arrays:
            return Ran(tuple(_of(arrays, number) for number in range(len(items))))


def _started(runtime: Runtime, folder: Path) -> Mapping[str, Any]:
    try:
        done = subprocess.run(
            [str(runtime.python), "-P", runner.__file__, "job.json", "out.npz"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it took longer than {LONGEST_S:.0f} s", "missing": False}
    try:
        told: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"error": f"its process ended with {done.returncode}: {last}", "missing": False}
    return told


def _of(arrays: Mapping[str, npt.NDArray[Any]], number: int) -> Outputs:
    prefix = f"{number}/"
    return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}


def _call(command: list[str], failed: str) -> None:
    """Run Python isolated (-I): a re.py in the folder where edgekd was started is none of its modules."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in said if line.startswith("ERROR")] or said[-3:]
        raise StageError(f"{failed}: {' '.join(errors)[:600]}", "name a version that exists for this Python")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # one of its other builds, such as onnxruntime-gpu
        return ""
