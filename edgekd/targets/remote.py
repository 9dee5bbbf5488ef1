"""A session on another machine: push a file with a runner, run it, and read its samples while it runs.

The same for ssh and adb, which differ in their ``Connection`` and in what their device tells of itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from statistics import fmean
from tempfile import TemporaryDirectory, TemporaryFile
from types import TracebackType
from typing import IO, Any

from edgekd.device import Device
from edgekd.errors import BadInputError, StageError
from edgekd.profile import answer as answers
from edgekd.profile import state
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.rules import Plan
from edgekd.reach import EnergySource
from edgekd.runtimes.asked import beside
from edgekd.targets import abilities, cached_runners, place, remote_energy
from edgekd.targets.base import Ability, IncompleteError, Session, Subject
from edgekd.targets.benchmarks import Benchmarks
from edgekd.targets.connection import Connection, Ended, LostError, full_here, last_lines, stop
from edgekd.targets.host import accepted, refuse_unusable
from edgekd.targets.own_session import OwnProgram
from edgekd.targets.programs import NAME
from edgekd.targets.runners import PythonRunner, Runner, for_energy, ours
from edgekd.targets.scripts import counting, in_folder, others

SAMPLES_S = 300.0  # without a sample and without an end: a runner that hangs
ROOM = 1.2  # times the files that are pushed
FULL = re.compile("No space left|disk may be full|Disk quota exceeded")
MAKE_ROOM = "make room there, or name another folder in [reach]: folder = '/path'"
SESSIONS_OWN = frozenset({"guard", "guard.new", "pids", "answer.json", "log.txt", "look.csv", "results.csv", NAME})


class RemoteSession(Session):
    """Files measured one after another over one connection."""

    def __init__(self, connection: Connection, device: Device, parent: str) -> None:
        self._connection, self._device = connection, device
        try:
            connection.open(parent)
            python = device.reach.python if device.reach else None
            self._place = place.look(connection, python, self.fixed)
            self._own = Benchmarks(connection, device, self._place.machine)
        except BaseException:
            with suppress(StageError):
                connection.close()
            connection.ending()
            raise

    @property
    def identity(self) -> str:
        """The machine with its processor, and the versions that run there."""
        own = self._own.identity({runtime: self._runs_itself(runtime) for runtime in self._device.runtimes})
        facts = {**self._place.facts, **self._place.python, **({} if "runner" in own else self._runner_text()), **own}
        return "; ".join(f"{name}: {value}" for name, value in facts.items())

    def _runner_text(self) -> Mapping[str, str]:
        found = ours(self._device, self._place.machine)
        return {"runner": "none" if found is None else found.digest()}

    def _runs_itself(self, runtime: str) -> bool:
        """Whether the device's Python, or our own runner, runs such files."""
        return abilities.runs_itself(runtime, self._device, self._place)

    def close(self) -> None:
        """Have everything removed from the device."""
        self._connection.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(StageError):  # why it ended says more than that the folder can't be seen any longer
            self.close()

    def abilities(self) -> Iterator[Ability]:
        """By what files are run there, on what, and what tells their energy."""
        yield from abilities.of_runners(self._device, self._place, self._own, self._before)
        yield self.meter()

    def meter(self) -> Ability:
        """What tells energy there, tried once."""
        return abilities.of_source(self._connection, *self.power())

    def fixed(self) -> Mapping[str, str]:
        """What else names the device."""
        return {}

    def conditions(self) -> Mapping[str, str]:
        """The present state of the device, beyond that of its processor."""
        return {}

    def power(self) -> tuple[EnergySource | None, str]:
        """What tells the power that the device draws, or why nothing does."""
        source = self._device.reach.energy if self._device.reach else None
        return source, "the device file names no [reach.energy], a file or command that tells power"

    def measure(self, subject: Subject, plan: Plan) -> tuple[Measurement, ...]:
        """Push, run, and read the samples; then, where the device file says from what, energy in a run of its own."""
        refuse_unusable(subject)
        benchmark = self._own.chosen(subject, self._before, otherwise=self._runs_itself(subject.runtime))
        if benchmark is not None:
            return self._measure_own(benchmark, subject, plan)
        runner = self._runner(subject)
        with TemporaryDirectory(prefix="edgekd-push-") as staging:
            before = self._push(subject, runner.files(subject, plan, Path(staging)))
        facts = {**self._facts(subject, plan), **runner.conditions()}
        facts |= {"accelerator_requested": "cpu", "accelerator": "cpu"}  # both runners ask for nothing else
        answer, now, values_s = self._run(runner, plan, self._origin(subject, {**facts, **before}))
        facts |= _course(before, now)
        if "runtime_version" in answer:
            facts["onnxruntime"] = answer["runtime_version"]
        measured = answers.measurements(answer, values_s, self._origin(subject, facts))
        took_s = fmean(measured[0].values)
        return self._and_energy(runner.energy_command(plan), measured[:-1], measured[-1], took_s)

    def _measure_own(self, program: OwnProgram, subject: Subject, plan: Plan) -> tuple[Measurement, ...]:
        """The same by a benchmark of the user's."""
        with TemporaryDirectory(prefix="edgekd-push-") as staging:
            before = self._push(subject, program.files(subject, plan, Path(staging)))
        facts = {**self._facts(subject, plan), **program.conditions()}
        found = program.measure(plan)
        now = self._state(self._connection.run(f"{counting(self._connection)}\n{state.SCRIPT}").text)
        origin = self._origin(subject, {**facts, **_course(before, now)})
        measured, own = found.measurements(origin), found.energy(origin)
        if found.run_s is None:
            return (*measured, own)
        return self._and_energy(program.command(for_energy(plan)), measured, own, found.run_s)

    def _push(self, subject: Subject, files: Mapping[str, Path]) -> Mapping[str, str]:
        weights = beside(subject.path)
        taken = sorted(weights.keys() & (files.keys() | SESSIONS_OWN))
        if taken:
            raise BadInputError(
                f"{subject.path}: found external data named {taken[0]!r}, as a session calls a file of its own there",
                "save the model again with its external data under another name",
            )
        pushed = {**weights, **files}
        before = self._before(pushed)
        self._connection.push(pushed)
        return before

    @staticmethod
    def _state(text: str) -> Mapping[str, str]:
        """Of the processor, and how many other sessions there are on the device."""
        return {**state.read(text), "other_sessions": str(others(text))}

    def _facts(self, subject: Subject, plan: Plan) -> dict[str, str]:
        """What holds for a whole measurement."""
        facts = {**self._place.facts, **self._place.python, **self.conditions(), "threads": str(plan.threads)}
        facts |= {"runtime": subject.runtime, "busy_cores": str(plan.load)}
        if self._connection.swept:
            facts["left_by_earlier_sessions"] = f"{len(self._connection.swept)} folders, removed"
        if plan.memory_limit_bytes is not None:
            facts["memory_limit"] = f"{plan.memory_limit_bytes} B by address space (setrlimit)"
        return facts

    def _and_energy(
        self, command: str, measured: tuple[Measurement, ...], own: Measurement, took_s: float
    ) -> tuple[Measurement, ...]:
        """``measured``, and energy; they are kept if the device goes away meanwhile."""
        try:
            return (*measured, self.energy(command, own, took_s))
        except LostError as error:
            why = {"incomplete": f"yes: energy is missing: {error.message}"}
            noted = tuple(replace(each, conditions={**each.conditions, **why}) for each in measured)
            raise IncompleteError(
                f"{error.message}; all but energy was measured until then", error.hint, noted
            ) from error

    def energy(self, command: str, own: Measurement, took_s: float) -> Measurement:
        """Of one inference, which takes ``took_s``, while ``command`` runs; or why it can't be told."""
        if own.values:
            return own
        source, why = self.power()
        if source is None:
            return replace(own, unavailable=why)
        return remote_energy.measure(self._connection, command, source, own, took_s)

    def _origin(self, subject: Subject, conditions: Mapping[str, str]) -> answers.Origin:
        return answers.Origin(subject.artifact, subject.path.stat().st_size, Provenance.ON_DEVICE, conditions)

    def _run(
        self, runner: Runner, plan: Plan, origin: answers.Origin
    ) -> tuple[Mapping[str, Any], Mapping[str, str], tuple[float, ...]]:
        """Run and read along; return the answer, the state after it, and the samples.

        What was read is kept if the device goes away.
        """
        script = in_folder(self._connection, runner.command(plan), plan)
        with TemporaryFile() as output, TemporaryFile() as noise:
            process = self._connection.start(script, output, noise)
            try:
                hung = not _waited(process, output)
            finally:
                stop(process)
            try:
                ended = self._connection.ended(output, noise)
                told = f"cat {quote(self._connection.folder)}/answer.json\n{counting(self._connection)}\n{state.SCRIPT}"
                answer = self._connection.run(told).text
            except LostError as error:
                output.seek(0)
                silent = f"{self._connection.name}: the runner gave no sample for {SAMPLES_S:.0f} s"
                message, hint = full_here() or (silent if hung else error.message, error.hint)
                raise _incomplete(message, hint, answers.seconds(output.read()), origin) from error
        values_s = answers.seconds(ended.output)
        if ended.code != 0:
            raise _incomplete(*self._died(ended, runner), values_s, origin)
        return accepted(json.loads(answer.splitlines()[0]), runner.runtime), self._state(answer), values_s

    def _died(self, ended: Ended, runner: Runner) -> tuple[str, str]:
        """What to say of a runner that came to no answer, and what to do."""
        words = last_lines(ended.noise) or "none"
        ending = f"was killed by signal {ended.code - 128}" if ended.code > 128 else f"ended with code {ended.code}"
        hint = "signal 9 often means that memory ran out" if ended.code == 137 else ""
        hint = MAKE_ROOM if FULL.search(words) else hint
        return f"{self._connection.name}: {runner.name} {ending}; its last words:\n{words}", hint

    def _runner(self, subject: Subject) -> Runner:
        """The device's Python if it has the runtime, else our own runner.

        Raises:
            BadInputError: neither is there, or ours is for another machine.

        """
        package = abilities.PACKAGES[subject.runtime][0]
        kept = cached_runners.BENCHMARKS[subject.runtime]
        reach = self._device.reach
        if reach is not None and {package, "numpy"} <= self._place.python.keys():
            return PythonRunner(str(reach.python), subject.runtime)
        found = ours(self._device, self._place.machine)
        if found is None or subject.runtime != "onnxruntime":
            alone = "" if subject.runtime == "onnxruntime" else "; edgekd's own runner takes .onnx files alone"
            raise BadInputError(
                f"{self._connection.name}: found neither {package} in its Python nor a runner for "
                f"{self._place.machine}, expected one of them to run {subject.path.name}{alone}",
                f"there: pip install {package}; or here: make runner-arm64, and runner = 'FOLDER' in [reach]; or put "
                f"{kept} into {cached_runners.place(self._place.machine)}",
            )
        return found

    def _before(self, files: Mapping[str, Path]) -> Mapping[str, str]:
        """The state of the processor, of a device that has room for ``files``."""
        needed = ROOM * sum(path.stat().st_size for path in files.values())
        room = f"df -Pk {quote(self._connection.folder)} | tail -n 1"
        found = self._connection.run(f"{room}\n{counting(self._connection)}\n{state.SCRIPT}").text
        columns = found.partition("\n")[0].split()
        if len(columns) >= 4 and columns[3].isdigit() and int(columns[3]) * 1024 < needed:
            raise StageError(
                f"{self._connection.name}: found {int(columns[3]) * 1024 / 1e6:.0f} MB free in "
                f"{self._connection.folder}, expected {needed / 1e6:.0f} MB",
                MAKE_ROOM,
            )
        return self._state(found)


def _course(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The state before, what changed meanwhile, and how many other sessions there were before or after."""
    beside = max(int(each["other_sessions"]) for each in (before, now))
    return {**before, **state.after(before, now), "other_sessions": str(beside)}


def _incomplete(message: str, hint: str, values_s: tuple[float, ...], origin: answers.Origin) -> IncompleteError:
    """The end of a session that ended too early, with the samples taken so far."""
    noted = (answers.latency(values_s, origin, incomplete="yes: " + message),) if values_s else ()
    return IncompleteError(f"{message}; {len(values_s):,} runs were measured until then", hint, noted)


def _waited(process: subprocess.Popen[bytes], output: IO[bytes]) -> bool:
    """Wait for the end; False if nothing was written for SAMPLES_S."""
    size, changed = 0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        now = os.fstat(output.fileno()).st_size
        if now != size:
            size, changed = now, time.monotonic()
        elif time.monotonic() - changed > SAMPLES_S:
            return False
    return True
