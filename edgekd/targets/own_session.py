"""A user's benchmark on a device: copied there, recognised by its own words, run, and read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from statistics import fmean

from edgekd.errors import BadInputError, StageError
from edgekd.profile import answer as answers
from edgekd.profile.measurement import Measurement
from edgekd.profile.rules import Plan
from edgekd.targets import accelerators
from edgekd.targets.base import Ability, Subject
from edgekd.targets.connection import Connection, LostError, last_lines, words
from edgekd.targets.own_runners import RUNNERS, UNTRIED, BenchmarkModel, OwnRunner, Reading
from edgekd.targets.programs import NAME, Program, recognised
from edgekd.targets.scripts import in_folder
from edgekd.targets.told_runs import steady_runs, warmed_up

HANG_S = 300.0  # beyond three times what a run should take
HELP_S = 30.0
SHORTEST_S = 1e-7  # of a run: what it takes can be rounded to nothing
Room = Callable[[Mapping[str, Path]], object]  # refuses files for which the device has no room


@dataclass(frozen=True, slots=True)
class Found:
    """What a benchmark told of one model."""

    runner: OwnRunner
    reading: Reading
    sustained: bool
    lasted_s: float  # the timed start, with all that the program did beside its runs

    @property
    def run_s(self) -> float | None:
        """The mean of a run."""
        return fmean(self.reading.runs_s) if self.reading.runs_s else self.reading.mean_s

    def measurements(self, origin: answers.Origin) -> tuple[Measurement, ...]:
        """What it told, and of the rest why there is none."""
        read = self.reading
        told = {**origin.conditions, **read.assignment.conditions(), **read.summary}
        origin = replace(origin, conditions=told)
        silent = f"{self.runner.name} doesn't tell it"
        mean = [] if read.runs_s else [answers.single(origin, "mean_latency", "s", read.mean_s, silent)]
        return (
            *self._latency(origin),
            *mean,
            answers.single(origin, "load_time", "s", read.load_s, silent),
            answers.single(origin, "first_inference", "s", read.first_s, silent),
            answers.single(origin, "peak_memory", "B", read.peak_bytes, silent),
            answers.single(origin, "size", "B", origin.size_bytes),
        )

    def energy(self, origin: answers.Origin) -> Measurement:
        """None yet: no benchmark tells it."""
        return answers.single(origin, "energy", "J", None, f"{self.runner.name} doesn't tell it")

    def _latency(self, origin: answers.Origin) -> Iterator[Measurement]:
        runs = self.reading.runs_s
        if not runs:
            yield answers.single(origin, "latency", "s", None, self.reading.no_runs)
            return
        warm, settled = warmed_up(runs)
        # One start: what isn't runs is loading, and what the program does between them. It says how far a device cools.
        if self.sustained:
            share = {"share_of_time_in_runs": f"{sum(runs) / self.lasted_s:.3f}"}
            origin = replace(origin, conditions={**origin.conditions, **share})
        yield answers.latency(runs[warm:], origin, runs[:warm], warmup_settled="yes" if settled else "no")
        steady = steady_runs(runs[warm:]) if self.sustained else 0
        if steady:
            yield answers.latency(runs[-steady:], origin, metric="sustained_latency")


class OwnProgram:
    """A user's benchmark in the folder of a session; it is copied and asked once, when it is first needed."""

    def __init__(self, connection: Connection, program: Program, accelerator: str) -> None:
        self._connection, self._program, self.accelerator = connection, program, accelerator
        self._found: OwnRunner | None = None
        self.accelerators: tuple[str, ...] = ()  # that it can be asked for, once it is recognised
        self._run_s = 1.0
        self.digest = program.digest()

    @property
    def _runner(self) -> OwnRunner:
        assert self._found is not None  # noqa: S101 (asked before)
        return self._found

    @property
    def runtime(self) -> str:
        """What it runs files with, once it is recognised."""
        return self._runner.runtime

    @property
    def text(self) -> str:
        """Which one it is, for a person."""
        where = "" if self._program.origin == "[reach]" else f", out of {self._program.path}"
        return f"{self.conditions()['runner']}{where}"

    @property
    def shortcomings(self) -> Iterator[Ability]:
        """What can't be judged by it."""
        if self._runner.name == BenchmarkModel.name:
            yield Ability("percentiles", works=False, text=BenchmarkModel.no_runs)

    def runs(self, subject: Subject, room: Room) -> bool:
        """Whether it is for such files.

        Raises:
            BadInputError: it is no benchmark that edgekd knows, has no such accelerator, or the files must be run by
                another runner, which has none.
            StageError: it can't be started there.

        """
        self.recognise(room)
        if self.runtime == subject.runtime:
            return True
        if self.accelerator != accelerators.CPU:
            raise BadInputError(
                f"{subject.path}: found a file for {subject.runtime} and the accelerator {self.accelerator!r} in "
                f"[reach], which {self._runner.name} has for files of {self.runtime} alone",
                f"runtimes = ['{self.runtime}'] in the device file, and no other files; or remove accelerator",
            )
        return False

    def files(self, subject: Subject, plan: Plan, staging: Path) -> dict[str, Path]:
        """The model and its inputs."""
        if plan.sustained and not self._runner.sustains:
            raise BadInputError(
                f"found --sustained with {self._runner.name}, expected a runner that tells each run",
                "measure without it, or by the device's Python or edgekd's own runner",
            )
        return self._runner.files(subject, staging)

    def conditions(self) -> Mapping[str, str]:
        """What ran, and how far it can be trusted."""
        return {
            "runner": f"{self._runner.name} of the user's, {self.digest}",
            "runner_digest": self.digest,
            "runner_from": self._program.origin,
            "runner_note": UNTRIED,
        }

    def command(self, plan: Plan) -> str:
        """The timed run."""
        return self._words(self._runner.timed(plan, self.accelerator, self._run_s))

    def measure(self, plan: Plan) -> Found:
        """Run it twice: for a look, and as planned.

        Raises:
            StageError: it failed, hung, or said nothing that edgekd can read.

        """
        self._connection.run(f"cd {quote(self._connection.folder)} && {self._runner.prepared}")
        look = self._run(self._words(self._runner.look(plan, self.accelerator)), plan, HANG_S)
        run_s = self._runner.run_seconds(look)
        if run_s is None:
            raise StageError(
                f"{self._connection.name}: {self._runner.name} gave no mean time that edgekd can read; its last "
                f"words:\n{last_lines(look)}",
                "it may be of a version whose output differs",
            )
        self._run_s = max(run_s, SHORTEST_S)
        expected_s = max(plan.min_seconds, plan.min_runs * run_s)
        began = time.monotonic()
        timed = self._run(self.command(plan), plan, HANG_S + 3 * expected_s)
        lasted_s = time.monotonic() - began
        results = self._connection.run(f"cat {quote(self._connection.folder)}/results.csv 2>/dev/null; :").text
        try:
            reading = self._runner.read(look, timed, results, self.accelerator)
        except StageError as error:
            raise StageError(f"{self._connection.name}: {error.message}", error.hint) from None
        return Found(self._runner, reading, plan.sustained, lasted_s)

    def _words(self, arguments: list[str]) -> str:
        """The libraries that were copied with it lie beside it."""
        return words(["env", "LD_LIBRARY_PATH=.", "ORT_DISABLE_TELEMETRY=1", f"./{NAME}", *arguments])

    def forget(self) -> None:
        """Have it copied again, the next time it is needed."""
        self._found = None

    def recognise(self, room: Room) -> None:
        """Copy it there and ask it, the first time."""
        if self._found is not None:
            return
        files = self._program.files()
        room(files)
        self._connection.push(files)
        command = self._words(["--help"])
        script = f"cd {quote(self._connection.folder)} && {command} 2>&1"
        ended = self._connection.run(script, wait_s=HELP_S)
        name = recognised(ended.text)
        if name is None:
            raise BadInputError(
                f"{self._program.path}: found a program that says to --help:\n{last_lines(ended.text + ended.noise)}\n"
                f"expected the help of one of {', '.join(RUNNERS)}",
                "see whether it starts on the device; others can't be read",
            )
        if self._program.called not in ("", name):
            raise BadInputError(
                f"{self._program.path}: found a program that is {name} by its help, expected {self._program.called}",
                f"put {self._program.called} there, or name this one in the device file: runner = '…' in [reach]",
            )
        runner = RUNNERS[name]()
        self.accelerators = tuple(each for each in runner.takes if runner.has(each, ended.text))
        self._refuse_accelerator(runner)
        self._found = runner

    def _refuse_accelerator(self, runner: OwnRunner) -> None:
        if self.accelerator not in (accelerators.CPU, *self.accelerators):
            raise BadInputError(
                f"{self._program.path}: found the accelerator {self.accelerator!r} in [reach], which this "
                f"{runner.name} doesn't have",
                f"it has: {', '.join(self.accelerators) or 'none'}; {runner.name} can have: {', '.join(runner.takes)}",
            )

    def _run(self, command: str, plan: Plan, wait_s: float) -> str:
        """Everything that it printed."""
        began, log = time.monotonic(), f"{quote(self._connection.folder)}/log.txt"
        try:
            ended = self._connection.run(in_folder(self._connection, f"{command} >log.txt 2>&1", plan), wait_s=wait_s)
            said = self._connection.run(f"cat {log}").text
        except LostError as error:
            if time.monotonic() - began < wait_s:
                raise
            hint = "see whether it comes to an end by hand"
            raise StageError(f"{self._connection.name}: {self._runner.name} hung for {wait_s:.0f} s", hint) from error
        if ended.code != 0:
            ending = f"was killed by signal {ended.code - 128}" if ended.code > 128 else f"ended with code {ended.code}"
            hint = "signal 9 often means that memory ran out" if ended.code == 137 else ""
            raise StageError(
                f"{self._connection.name}: {self._runner.name} {ending}; its last words:\n"
                f"{last_lines(said + ended.noise)}",
                hint,
            )
        return said
