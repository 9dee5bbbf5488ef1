"""Runners: what measures a file on another machine: its own Python with ``child.py``, or our program in C."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.profile import child
from edgekd.profile.rules import Plan
from edgekd.targets import cached_runners
from edgekd.targets.base import Subject
from edgekd.targets.connection import words
from edgekd.targets.programs import machine_of, named, runner_path
from edgekd.targets.remote_energy import MIN_RUNS, MIN_S
from edgekd.toml_file import PACKAGED

BUILT = Path("artifacts") / "runner"  # where `make runner` puts them, a folder for each machine
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9}
TYPES |= {"float16": 10, "float64": 11, "uint32": 12, "uint64": 13}  # ONNXTensorElementDataType


class Runner(Protocol):
    """What is pushed, and the command that runs it in its folder; it leaves answer.json there."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def runtime(self) -> str:
        """What it runs files with."""

    def conditions(self) -> Mapping[str, str]:
        """Which one ran."""

    def files(self, subject: Subject, plan: Plan, staging: Path) -> dict[str, Path]:
        """What it needs there, by name; ``staging`` takes files that have to be written first."""

    def command(self, plan: Plan) -> str:
        """A line for ``sh``, one command."""

    def energy_command(self, plan: Plan) -> str:
        """The same for a run that lasts as long as energy needs."""


class PythonRunner:
    """The device's own Python, with numpy and the runtime."""

    def __init__(self, python: str, runtime: str) -> None:
        self._python, self.runtime = python, runtime
        self.name = f"Python ({python})"

    def conditions(self) -> Mapping[str, str]:
        """The versions stand beside it, as facts of the place."""
        return {"runner": self.name}

    @staticmethod
    def probe(python: str) -> str:
        """A script that prints the versions of what is installed; importing it would take seconds."""
        code = (
            "import importlib.util, importlib.metadata as m\n"
            "for module, name in (('numpy', 'numpy'), ('onnxruntime', 'onnxruntime'), "
            "('ai_edge_litert', 'ai-edge-litert')):\n"
            "    if importlib.util.find_spec(module):\n        print(f'{name}=={m.version(name)}')\n"
        )
        return words(["env", "ORT_DISABLE_TELEMETRY=1", python, "-c", code])

    def files(self, subject: Subject, plan: Plan, staging: Path) -> dict[str, Path]:
        """The child, its request, the model and the inputs as they are."""
        model, inputs = f"model{subject.path.suffix}", f"inputs{subject.inputs.suffix}"
        for name, changed in (("request.json", plan), ("energy.json", for_energy(plan))):
            request = child.Request(
                model=model,
                runtime=self.runtime,
                threads=plan.threads,
                inputs=inputs,
                samples="-",
                min_runs=changed.min_runs,
                min_seconds=changed.min_seconds,
                sustained=changed.sustained,
            )
            (staging / name).write_text(json.dumps(asdict(request)), encoding="utf-8")
        made = {name: staging / name for name in ("request.json", "energy.json")}
        return {"child.py": Path(child.__file__), **made, model: subject.path, inputs: subject.inputs}

    def command(self, plan: Plan) -> str:
        """By the request as it was planned."""
        del plan
        return self._by("request.json")

    def energy_command(self, plan: Plan) -> str:
        """By the other request."""
        del plan
        return self._by("energy.json")

    def _by(self, request: str) -> str:
        return words(["env", "ORT_DISABLE_TELEMETRY=1", self._python, "child.py", request, "answer.json"])


class CRunner:
    """Our program in C with its libraries, in a folder as ``make runner`` gives it."""

    runtime = "onnxruntime"
    name = "edgekd's runner"

    def __init__(self, folder: Path, machine: str, origin: str = "[reach]") -> None:
        self._folder, self._origin = folder, origin
        built_for = machine_of(folder / "runner")
        if built_for != machine:
            raise BadInputError(
                f"{folder}: found a runner for {built_for}, expected one for the device's {machine}",
                "build the right one: make runner (this machine), make runner-arm64",
            )

    @property
    def text(self) -> str:
        """Which one it is, for a person."""
        return f"edgekd's own runner in {self._folder}, {self.digest()}"

    def conditions(self) -> Mapping[str, str]:
        """Which one ran, and where it was found."""
        return {"runner": self.name, "runner_digest": self.digest(), "runner_from": self._origin}

    def digest(self) -> str:
        """Of the program and the library, which decide what is measured."""
        found = hashlib.sha256()
        for path in sorted(self._folder.iterdir()):
            found.update(path.name.encode() + path.read_bytes())
        return found.hexdigest()[:16]

    def files(self, subject: Subject, plan: Plan, staging: Path) -> dict[str, Path]:
        """The folder, the model, and each input's bytes with a list of their shapes."""
        del plan
        arrays = first_rows(subject)
        lines = []
        for number, values in enumerate(arrays):
            (staging / f"input{number}.bin").write_bytes(np.ascontiguousarray(values).tobytes())
            lines.append(" ".join(map(str, (TYPES[values.dtype.name], values.ndim, *values.shape))))
        (staging / "inputs.txt").write_text("".join(f"{line} input{n}.bin\n" for n, line in enumerate(lines)))
        made = {path.name: path for path in staging.iterdir()}
        return {**{path.name: path for path in self._folder.iterdir()}, **made, "model.onnx": subject.path}

    def command(self, plan: Plan) -> str:
        """Started by the loader of the bundle, where it has one: then nothing of the system is needed."""
        rules: dict[str, Any] = {
            "library": "./libonnxruntime.so",
            "model": "model.onnx",
            "inputs": "inputs.txt",
            "answer": "answer.json",
            "threads": plan.threads,
            "runs": plan.min_runs,
            "seconds": plan.min_seconds,
            "sustained": int(plan.sustained),
            "warmup_window": child.WARMUP_WINDOW,
            "warmup_gain": child.WARMUP_GAIN,
            "warmup_min_s": child.WARMUP_MIN_S,
            "warmup_max_s": child.WARMUP_MAX_S,
            "flush_s": child.FLUSH_NS / 1e9,
            "window_s": child.STEADY_WINDOW_S,
            "windows": child.STEADY_WINDOWS,
            "spread": child.STEADY_SPREAD,
        }
        loaders = sorted(path.name for path in self._folder.glob("ld-linux*"))
        started = [f"./{loaders[0]}", "--library-path", ".", "./runner"] if loaders else ["./runner"]
        return words([*started, *(f"{name}={value}" for name, value in rules.items())])

    def energy_command(self, plan: Plan) -> str:
        """The same program."""
        return self.command(for_energy(plan))


def ours(device: Device, machine: str) -> CRunner | None:
    """Our runner: the one that [reach] names, else the one that was built for such a machine, here or in the cache.

    Raises:
        BadInputError: it is for another machine, or has no library.

    """
    found = next(_folders(device, machine), None)
    if found is None:
        return None
    folder, origin = found
    if not (folder / "libonnxruntime.so").is_file():
        raise BadInputError(
            f"{device.path}: found the runner {str(folder)!r} of {origin} without 'libonnxruntime.so', expected it "
            "beside 'runner'",
            "make one: make runner-arm64",
        )
    return CRunner(folder, machine, origin)


def _folders(device: Device, machine: str) -> Iterator[tuple[Path, str]]:
    """Those that are there, the first to be taken first, with what conditions say of where that was."""
    if device.reach is not None and device.reach.runner is not None and named(device) is None:
        yield runner_path(device), "[reach]"
    for place in (BUILT / machine, PACKAGED.parent / BUILT / machine):
        if (place / "runner").is_file():
            yield place, str(BUILT / machine)
    kept = cached_runners.ours(machine)
    if kept is not None and (kept / "runner").is_file():
        yield kept, cached_runners.origin(kept)


def for_energy(plan: Plan) -> Plan:
    """As long as energy needs."""
    return replace(plan, min_runs=MIN_RUNS, min_seconds=MIN_S, sustained=False)


def first_rows(subject: Subject) -> list[np.ndarray[Any, np.dtype[Any]]]:
    """The inputs in the model's order, as the child would take them."""
    from edgekd.runtimes.asked import asked

    wanted = tuple(
        child.Input(
            child.aliases(each.name), each.dtype, tuple(-1 if isinstance(size, str) else size for size in each.shape)
        )
        for each in asked(subject.path)
    )
    try:
        return child.read_inputs(subject.inputs, wanted)
    except child.Refused as error:
        raise BadInputError(str(error), "give the inputs of this model") from error
