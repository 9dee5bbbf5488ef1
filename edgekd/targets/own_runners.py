"""Own runners: a user's benchmark_model or onnxruntime_perf_test: how it is called, and what its words mean.

Both are called twice: a short look, which tells memory and where operators run, and the timed run. Neither program was
to be had where edgekd is developed: what is read here is the format of their sources, and no more than that was tried.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from edgekd.errors import BadInputError, StageError
from edgekd.profile import child
from edgekd.profile.rules import Plan
from edgekd.targets import accelerators
from edgekd.targets.accelerators import Assignment
from edgekd.targets.base import Subject
from edgekd.targets.runners import first_rows

LOOK_RUNS = 10
MOST_S = 36_000.0  # benchmark_model ends by itself after 150 s otherwise, however few runs there were
MOST_RUNS = 2_000_000  # that a file of results may hold: some 80 MB to be copied
UNTRIED = "read by its documented format; edgekd was never tried with the program itself"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a benchmark said, in SI units; None where it doesn't tell."""

    assignment: Assignment
    runs_s: tuple[float, ...] = ()  # each run, where it prints them
    no_runs: str = ""  # why it doesn't
    summary: Mapping[str, str] = field(default_factory=dict)
    mean_s: float | None = None
    load_s: float | None = None
    first_s: float | None = None
    peak_bytes: float | None = None


class OwnRunner(Protocol):
    """What a program is called with, and what its answers mean."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def runtime(self) -> str:
        """What it runs files with."""

    @property
    def takes(self) -> Sequence[str]:
        """The accelerators that can be asked for."""

    def has(self, accelerator: str, said: str) -> bool:
        """Whether it was built with an accelerator, as far as its help tells."""

    @property
    def sustains(self) -> bool:
        """Whether it tells single runs, by which a speed is known to be steady."""

    @property
    def prepared(self) -> str:
        """A script that puts its files into their places there, and removes those of a model before."""

    def files(self, subject: Subject, staging: Path) -> dict[str, Path]:
        """The model and its inputs, by their names on the device."""

    def look(self, plan: Plan, accelerator: str) -> list[str]:
        """Arguments of the short run."""

    def timed(self, plan: Plan, accelerator: str, run_s: float) -> list[str]:
        """Arguments of the timed run, of a model of which one run takes ``run_s``."""

    def read(self, look: str, timed: str, results: str, accelerator: str) -> Reading:
        """What both runs printed, and the file of results.

        Raises:
            StageError: the file ends before the runs that were asked for.

        """

    def run_seconds(self, look: str) -> float | None:
        """How long one run takes, by the short run."""


class BenchmarkModel:
    """TFLite's benchmark_model. It prints a summary, and no single runs, whatever it is asked for."""

    name, runtime, takes = "benchmark_model", "tflite", tuple(accelerators.DELEGATES)
    prepared, sustains = ":", False
    no_runs = "benchmark_model prints a summary and no single runs, from which no percentile can be bounded"

    def __init__(self) -> None:
        self._inputs: list[str] = []

    def has(self, accelerator: str, said: str) -> bool:
        """A flag for each delegate that was built in."""
        return f"--use_{accelerator}=" in said

    def files(self, subject: Subject, staging: Path) -> dict[str, Path]:
        """The inputs' bytes; their names in the flags need not be those in the file."""
        arrays = first_rows(subject)
        for number, values in enumerate(arrays):
            (staging / f"input{number}.bin").write_bytes(np.ascontiguousarray(values).tobytes())
        names = [f"in{number}" for number in range(len(arrays))]
        self._inputs = [
            f"--input_layer={','.join(names)}",
            f"--input_layer_shape={':'.join(','.join(map(str, values.shape)) for values in arrays)}",
            f"--input_layer_value_files={','.join(f'{name}:input{n}.bin' for n, name in enumerate(names))}",
        ]
        return {**{path.name: path for path in staging.glob("input*.bin")}, "model.tflite": subject.path}

    def look(self, plan: Plan, accelerator: str) -> list[str]:
        """With the peak of memory, for which a thread of its own is started."""
        return self._arguments(plan, accelerator, LOOK_RUNS, 0.0, "--report_peak_memory_footprint=true")

    def timed(self, plan: Plan, accelerator: str, run_s: float) -> list[str]:
        """By the plan."""
        del run_s
        return self._arguments(plan, accelerator, plan.min_runs, plan.min_seconds)

    def _arguments(self, plan: Plan, accelerator: str, runs: int, seconds: float, *more: str) -> list[str]:
        asked = [] if accelerator == accelerators.CPU else [f"--use_{accelerator}=true"]
        return [
            "--graph=model.tflite",
            f"--num_threads={plan.threads}",
            f"--num_runs={runs}",
            f"--min_secs={seconds:g}",
            f"--max_secs={MOST_S:g}",
            f"--warmup_runs={2 * child.WARMUP_WINDOW}",
            *self._inputs,
            *asked,
            *more,
        ]

    def read(self, look: str, timed: str, results: str, accelerator: str) -> Reading:
        """The line of timings, the last line of statistics, and the peak of the short run."""
        del results
        statistics = dict(
            re.findall(r"(\w+)=([\d.e+]+)", (re.findall(r"^.*\bcount=\d+ .*$", timed, re.MULTILINE) or [""])[-1])
        )
        peak = _figure(r"Overall peak memory footprint \(MB\) via periodic monitoring: ([\d.e+]+)", look)
        load = _figure(r"Inference timings in us: Init: ([\d.e+]+)", timed)
        first = _figure(r"First inference: ([\d.e+]+)", timed)
        mean = _figure(r"Inference \(avg\): ([\d.e+]+)", timed)
        return Reading(
            accelerators.by_tflite(accelerator, timed),
            no_runs=self.no_runs,
            summary=_summary(statistics),
            mean_s=None if mean is None else mean / 1e6,
            load_s=None if load is None else load / 1e6,
            first_s=None if first is None else first / 1e6,
            peak_bytes=None if peak is None else peak * 2**20,
        )

    def run_seconds(self, look: str) -> float | None:
        """By the mean of the short run."""
        mean = _figure(r"Inference \(avg\): ([\d.e+]+)", look)
        return None if mean is None else mean / 1e6


class PerfTest:
    """onnxruntime's onnxruntime_perf_test. Its file of results has a line for each run."""

    name, runtime, takes = "onnxruntime_perf_test", "onnxruntime", tuple(accelerators.PROVIDERS)
    prepared = "rm -rf test_data_set_0 *.csv; mkdir test_data_set_0 && mv input_*.pb test_data_set_0"
    sustains = True

    def __init__(self) -> None:
        self._least_runs, self._least_s = 0, 0.0  # asked for last

    def has(self, accelerator: str, said: str) -> bool:
        """Its help lists all that there are, built in or not."""
        return accelerator in self.takes and bool(said)

    def files(self, subject: Subject, staging: Path) -> dict[str, Path]:
        """Inputs as onnx's own tests have them; the program looks for them beside the model."""
        from onnx import numpy_helper

        from edgekd.runtimes.asked import asked

        for number, (values, wanted) in enumerate(zip(first_rows(subject), asked(subject.path), strict=True)):
            content = numpy_helper.from_array(values, wanted.name).SerializeToString()
            (staging / f"input_{number}.pb").write_bytes(content)
        return {**{path.name: path for path in staging.glob("input_*.pb")}, "model.onnx": subject.path}

    def look(self, plan: Plan, accelerator: str) -> list[str]:
        """With the verbose log, which would slow down the timed run."""
        return [*self._arguments(plan, accelerator, "times", "-r", str(LOOK_RUNS)), "-v", "model.onnx", "look.csv"]

    def timed(self, plan: Plan, accelerator: str, run_s: float) -> list[str]:
        """By the time where that decides, else by a number of runs, for it ends by one of them; with warm-up on top.

        The short run is slower than what follows: a number of runs that it suggests can last half as long as planned.

        Raises:
            BadInputError: more runs would be noted in a file than should be copied from a device.

        """
        if plan.sustained or 2 * plan.min_runs * run_s < plan.min_seconds:
            seconds = math.ceil(max(plan.min_seconds, plan.min_runs * run_s) * 1.1 + 2 * child.WARMUP_MIN_S)
            if plan.sustained and seconds / run_s > MOST_RUNS:
                raise BadInputError(
                    f"found --sustained with {self.name}, which notes each run in a file, and a model of which "
                    f"{seconds / run_s:,.0f} runs take {seconds} s, expected at most {MOST_RUNS:,} runs",
                    "measure it by the device's Python or edgekd's own runner",
                )
            self._least_runs, self._least_s = 1, float(seconds)
            return [*self._arguments(plan, accelerator, "duration", "-t", str(seconds)), "model.onnx", "results.csv"]
        warm = max(2 * child.WARMUP_WINDOW, math.ceil(child.WARMUP_MIN_S / run_s)) * 2
        runs = max(plan.min_runs, math.ceil(1.5 * plan.min_seconds / run_s)) + warm
        self._least_runs, self._least_s = runs, 0.0
        return [*self._arguments(plan, accelerator, "times", "-r", str(runs)), "model.onnx", "results.csv"]

    def _arguments(self, plan: Plan, accelerator: str, *mode: str) -> list[str]:
        backend = ["-i", "backend_type|htp"] if accelerator == "qnn" else []
        return ["-m", *mode, "-e", accelerator, *backend, "-x", str(plan.threads), "-y", "1"]

    def read(self, look: str, timed: str, results: str, accelerator: str) -> Reading:
        """A line of results is: model, seconds, peak of memory in bytes, processor's load, number."""
        lines = re.findall(r"^.*,([\d.e+-]+),(\d+),-?\d+,\d+$", results, re.MULTILINE)
        runs_s = tuple(float(seconds) for seconds, _ in lines)
        if lines and (len(lines) < self._least_runs or sum(runs_s) < 0.99 * self._least_s):
            raise StageError(
                f"{self.name} noted {len(lines):,} runs of {sum(runs_s):.3g} s, expected "
                f"{f'{self._least_s:g} s' if self._least_s else f'{self._least_runs:,} runs'}",
                "see whether there was room for the file of its results on the device: df -h there",
            )
        first = _figure(r"First inference time cost: ([\d.e+-]+) ms", timed)
        return Reading(
            accelerators.by_onnxruntime(accelerator, look),
            runs_s=runs_s,
            no_runs="" if lines else "onnxruntime_perf_test left no file of single runs",
            load_s=_figure(r"Session creation time cost: ([\d.e+-]+) s", timed),
            first_s=None if first is None else first / 1e3,
            peak_bytes=float(lines[-1][1]) if lines else None,
        )

    def run_seconds(self, look: str) -> float | None:
        """By the mean of the short run, which each version calls a little differently."""
        mean = _figure(r"Average (?:inference )?time cost[^:\n]*:\s*([\d.e+-]+) ms", look)
        return None if mean is None else mean / 1e3


RUNNERS: Mapping[str, type[BenchmarkModel | PerfTest]] = {
    "benchmark_model": BenchmarkModel,
    "onnxruntime_perf_test": PerfTest,
}


def _summary(statistics: Mapping[str, str]) -> Mapping[str, str]:
    """The statistics of the runs as conditions, under names with their unit."""
    times = {f"runs_{name}_us": value for name, value in statistics.items() if name not in ("count", "curr")}
    return {"runs_count": statistics["count"], **times} if "count" in statistics else times


def _figure(pattern: str, text: str) -> float | None:
    found = re.findall(pattern, text)
    return float(found[-1]) if found else None
