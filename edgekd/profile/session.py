"""Profile a model on this host: start a fresh child process, wait for it, and turn its answer into measurements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekd.errors import BadInputError, MissingExtraError, StageError, nearest
from edgekd.profile.child import Request
from edgekd.profile.conditions import UNKNOWN, host_conditions
from edgekd.profile.measurement import Measurement, Provenance

PACKAGES = {"onnxruntime": "onnxruntime", "tflite": "ai_edge_litert"}
Counters = Mapping[str, Sequence[int]]
LAST_LINES = 5  # of a dead child's stderr


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a model is run: at least ``min_runs`` and at least ``min_seconds``, after warm-up.

    1,024 independent runs put the upper 99 % bound of p99 at the 1,021st; five seconds outlast short bursts of other
    work.
    """

    threads: int = 1
    min_runs: int = 1024
    min_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.threads < 1 or self.min_runs < 1 or self.min_seconds < 0:
            raise BadInputError(
                f"found {self.threads} threads, {self.min_runs} runs and {self.min_seconds} s to profile with, "
                "expected at least 1, 1 and 0 s"
            )


def profile(model: Path, runtime: str, inputs: Path, artifact: str, plan: Plan) -> tuple[Measurement, ...]:
    """Measure ``model`` on this host, in a process of its own.

    Args:
        model: a .onnx or .tflite file.
        runtime: 'onnxruntime' or 'tflite'.
        inputs: real rows, as a .npy (a model with one input) or a .npz with an array for each input's name;
            as many of the first rows are used as the model takes at once.
        artifact: what the measurements are of.
        plan: how many threads and runs.

    Returns:
        Latency (every run), load time, first inference, peak memory, size and energy, in SI units. One that this
        machine cannot measure says why.

    Raises:
        BadInputError: no such file or runtime, a runtime that isn't installed, a model that it cannot load, or
            inputs that do not fit.
        StageError: the child died.

    """
    _refuse_unusable(model, runtime, inputs)
    conditions = {**host_conditions(plan.threads), "runtime": runtime}
    with tempfile.TemporaryDirectory(prefix="edgekd-profile-") as scratch:
        samples = Path(scratch) / "samples.i64"
        request = Request(
            model=str(model.resolve()),
            runtime=runtime,
            threads=plan.threads,
            inputs=str(inputs.resolve()),
            samples=str(samples),
            min_runs=plan.min_runs,
            min_seconds=plan.min_seconds,
        )
        answer = _ask(request)
        values_s = _read_seconds(samples)
    return _measurements(answer, values_s, artifact, model.stat().st_size, conditions)


def energy_per_run(before: Counters | str, after: Counters | str, runs: int) -> tuple[float | None, str]:
    """Return joules per run, or None and the reason; a reason in place of the counters is handed on.

    Each counter is (microjoules, its largest value). One that is lower afterwards has wrapped around, once: at 100 W
    the usual range of 262 kJ lasts 43 minutes.

    >>> energy_per_run({"0/package-0": (900, 1000)}, {"0/package-0": (100, 1000)}, 2)
    (0.0001, '')
    """
    if isinstance(before, str) or isinstance(after, str):
        return None, before if isinstance(before, str) else str(after)
    used_uj = sum((after[zone][0] - start) % largest for zone, (start, largest) in before.items())
    if used_uj == 0:  # some virtual machines show counters that stand still
        return None, "the energy counter of this machine does not count"
    return used_uj / 1e6 / runs, ""


def _refuse_unusable(model: Path, runtime: str, inputs: Path) -> None:
    if runtime not in PACKAGES:
        raise BadInputError(f"found the runtime {runtime!r}", nearest(runtime, PACKAGES))
    for path, what in ((model, "a model"), (inputs, "its inputs")):
        if not path.is_file():
            raise BadInputError(f"{path}: found no file, expected {what}")
    if find_spec(PACKAGES[runtime]) is None:
        if runtime == "tflite":
            raise MissingExtraError("ai-edge-litert", "litert", "profiling a .tflite file")
        raise BadInputError("profiling a .onnx file needs the package 'onnxruntime'", "pip install onnxruntime")


def _ask(request: Request) -> Mapping[str, Any]:
    """Run the child to its end and return its answer. It is killed and reaped if we are interrupted.

    It is started by its path and with -P, so that nothing in the current folder can stand in for a module.
    """
    command = [sys.executable, "-P", str(Path(__file__).with_name("child.py"))]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as child:
        try:
            output, noise = child.communicate(json.dumps(asdict(request)).encode())
        except BaseException:  # subprocess.run kills on Ctrl-C too, but leaves without waiting for the end
            child.kill()
            child.wait()
            raise
    return _answer(request, child.returncode, output.decode(errors="replace"), noise.decode(errors="replace"))


def _answer(request: Request, code: int, output: str, noise: str) -> Mapping[str, Any]:
    if code != 0:
        last = "\n".join(noise.strip().splitlines()[-LAST_LINES:])
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        hint = "signal 9 often means that memory ran out" if code == -9 else ""
        raise StageError(f"{request.model}: profiling with {request.runtime} {ending}; its last words:\n{last}", hint)
    answer: Mapping[str, Any] = json.loads(output.strip().splitlines()[-1])
    if "refused" in answer:
        raise BadInputError(
            answer["refused"],
            f"check that the file is whole and meant for {request.runtime}, and that the inputs are its own",
        )
    return answer


def _read_seconds(samples: Path) -> tuple[float, ...]:
    nanoseconds = array("q")
    nanoseconds.frombytes(samples.read_bytes())
    return tuple(value / 1e9 for value in nanoseconds)


def _measurements(
    answer: Mapping[str, Any],
    values_s: tuple[float, ...],
    artifact: str,
    size_bytes: int,
    conditions: Mapping[str, str],
) -> tuple[Measurement, ...]:
    def one(metric: str, unit: str, value: float | None, missing: str = "", **more: str) -> Measurement:
        return Measurement(
            artifact=artifact,
            metric=metric,
            unit=unit,
            provenance=Provenance.ON_HOST,
            values=() if value is None else (float(value),),
            unavailable=missing if value is None else "",
            conditions={**conditions, **more},
        )

    before, after = answer["energy"]
    energy_j, no_energy = energy_per_run(before, after, answer["runs"])
    memory = {name: str(answer[name] or UNKNOWN) for name in ("base_memory_bytes", "load_peak_bytes")}
    return (
        Measurement(
            artifact=artifact,
            metric="latency",
            unit="s",
            provenance=Provenance.ON_HOST,
            values=values_s,
            warmups=tuple(answer["warmups_s"]),
            conditions={**conditions, "warmup_settled": "yes" if answer["settled"] else "no"},
        ),
        one("load_time", "s", answer["load_time_s"]),
        one("first_inference", "s", answer["first_inference_s"]),
        one("peak_memory", "B", answer["peak_memory_bytes"], "this system does not tell a process's peak", **memory),
        one("size", "B", size_bytes),
        one("energy", "J", energy_j, no_energy, scope="processor packages and memory, all processes"),
    )
