"""Measure on this machine: start a fresh child process, wait for it, and turn its answer into measurements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekd.device import Device
from edgekd.errors import BadInputError, MissingExtraError, StageError, nearest
from edgekd.profile import answer as answers
from edgekd.profile import child as children
from edgekd.profile import observing, state
from edgekd.profile.busy import busy
from edgekd.profile.child import Request
from edgekd.profile.conditions import UNKNOWN, host_conditions, host_fingerprint
from edgekd.profile.confining import Confinement, confined
from edgekd.profile.joined import joined
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.observed import MemoryCourse, Observed, OperatorProfile, course
from edgekd.profile.rules import Plan
from edgekd.targets import programs
from edgekd.targets.base import Session, Subject

PACKAGES = {"onnxruntime": "onnxruntime", "tflite": "ai_edge_litert"}
LAST_LINES = 5  # of a dead child's stderr


def prepare(device: Device) -> Session:
    """Measure here. The figures are the device's own if it is this machine by name, or by its [reach].

    A user's own benchmark is run as on any other machine, in a folder of its own.
    """
    if device.reach is not None and (device.reach.accelerator != "cpu" or programs.named(device) is not None):
        from edgekd.targets import local

        return local.prepare(device)
    named = device.reach is not None and not device.is_host
    return HostSession(Provenance.ON_DEVICE if named else Provenance.ON_HOST)


class HostSession(Session):
    """Each file in a process of its own."""

    def __init__(self, provenance: Provenance = Provenance.ON_HOST) -> None:
        self._provenance = provenance

    @property
    def identity(self) -> str:
        """Processor, extensions, cores and versions; its figures count otherwise where it is a named device."""
        return host_fingerprint() + ("; as the device" if self._provenance is Provenance.ON_DEVICE else "")

    def measure(self, subject: Subject, plan: Plan) -> tuple[Measurement, ...]:
        """Measure one file in a fresh process."""
        refuse_unusable(subject)
        conditions = {**host_conditions(plan.threads), "runtime": subject.runtime, "busy_cores": str(plan.load)}
        before = device_state()
        with (
            tempfile.TemporaryDirectory(prefix="edgekd-profile-") as scratch,
            confined(plan.memory_limit_bytes) as confinement,
            busy(plan.load),
        ):
            samples = Path(scratch) / "samples.i64"
            found = _ask(_request(subject, plan, samples), confinement)
            values_s = answers.seconds(samples.read_bytes())
        conditions |= {"memory_limit": _limit(plan, confinement), "core": str(found["core"] or UNKNOWN)}
        conditions |= {"clock_mhz": before["clock_mhz"], **state.after(before, device_state())}
        origin = answers.Origin(subject.artifact, subject.path.stat().st_size, self._provenance, conditions)
        return answers.measurements(found, values_s, origin)

    def observe(self, subject: Subject, plan: Plan) -> Observed:
        """Each look in a fresh process of its own, which is neither pinned nor confined."""
        refuse_unusable(subject)
        request = _request(subject, plan, Path("-"))
        times, memory = (_looked(look, request) for look in ("operators", "memory"))
        return Observed(
            subject.artifact,
            self._provenance,
            OperatorProfile(unavailable=times) if isinstance(times, str) else joined(times, subject.path),
            MemoryCourse(unavailable=memory)
            if isinstance(memory, str)
            else course(memory["seconds"], memory["bytes"], memory["marks"]),
        )


def refuse_unusable(subject: Subject) -> None:
    """Refuse a file, its inputs or a runtime that aren't there."""
    if subject.runtime not in PACKAGES:
        raise BadInputError(f"found the runtime {subject.runtime!r}", nearest(subject.runtime, PACKAGES))
    for path, what in ((subject.path, "a model"), (subject.inputs, "its inputs")):
        if not path.is_file():
            raise BadInputError(f"{path}: found no file, expected {what}")
    if find_spec(PACKAGES[subject.runtime]) is None:
        if subject.runtime == "tflite":
            raise MissingExtraError("ai-edge-litert", "litert", "profiling a .tflite file")
        raise BadInputError("profiling a .onnx file needs the package 'onnxruntime'", "pip install onnxruntime")


def _request(subject: Subject, plan: Plan, samples: Path) -> Request:
    return Request(
        model=str(subject.path.resolve()),
        runtime=subject.runtime,
        threads=plan.threads,
        inputs=str(subject.inputs.resolve()),
        samples=str(samples),
        min_runs=plan.min_runs,
        min_seconds=plan.min_seconds,
        sustained=plan.sustained,
        pin=plan.threads == 1 and plan.load == 0,  # beside other work, an app is where the kernel puts it
    )


def device_state() -> Mapping[str, str]:
    """What the processor is doing; nothing is known where there is no shell."""
    try:
        done = subprocess.run(["sh", "-c", state.SCRIPT], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return state.read("")
    return state.read(done.stdout)


def _limit(plan: Plan, confinement: Confinement) -> str:
    return "none" if plan.memory_limit_bytes is None else f"{plan.memory_limit_bytes} B by {confinement.how}"


def _ask(request: Request, confinement: Confinement) -> Mapping[str, Any]:
    """Run the child to its end and return its answer."""
    code, output, noise = _ran(confinement.around(_command(children)), request)
    if code and confinement.exceeded():
        raise StageError(
            f"{request.model}: found that it needs more memory than --memory-limit allows (by {confinement.how})",
            "give it more, or make the model or its input smaller",
        )
    return _answer(request, code, output, noise)


def _looked(look: str, request: Request) -> Mapping[str, Any] | str:
    """What ``observing`` saw, or why it saw nothing."""
    code, output, noise = _ran([*_command(observing), look], request)
    if code:
        return f"the process that looked ended with {code}: {(noise.strip().splitlines() or ['it said nothing'])[-1]}"
    found: Mapping[str, Any] = json.loads(output.strip().splitlines()[-1])
    return str(found["unavailable"]) if "unavailable" in found else found


def _command(script: ModuleType) -> list[str]:
    """By its path and with -P, so that nothing in the current folder can stand in for a module."""
    return [sys.executable, "-P", str(script.__file__)]


def _ran(command: Sequence[str], request: Request) -> tuple[int, str, str]:
    """Exit code, output and noise of a process that is given the request; it ends if we are interrupted."""
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as child:
        try:
            output, noise = child.communicate(json.dumps(asdict(request)).encode())
        except BaseException:  # subprocess.run kills on Ctrl-C too, but leaves without waiting for the end
            child.kill()
            child.wait()
            raise
    return child.returncode, output.decode(errors="replace"), noise.decode(errors="replace")


def _answer(request: Request, code: int, output: str, noise: str) -> Mapping[str, Any]:
    if code != 0:
        last = "\n".join(noise.strip().splitlines()[-LAST_LINES:])
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        hint = "signal 9 often means that memory ran out" if code == -9 else ""
        raise StageError(f"{request.model}: profiling with {request.runtime} {ending}; its last words:\n{last}", hint)
    return accepted(json.loads(output.strip().splitlines()[-1]), request.runtime)


def accepted(answer: Mapping[str, Any], runtime: str) -> Mapping[str, Any]:
    """A runner's answer, unless it refuses the file or its inputs."""
    if "refused" in answer:
        raise BadInputError(
            answer["refused"], f"check that the file is whole and meant for {runtime}, and that the inputs are its own"
        )
    return answer
