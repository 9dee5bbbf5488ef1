"""Observing: looks at a model that would spoil its times, so each is taken in a process of its own.

Run as ``python observing.py operators`` or ``… memory``, with the fields of ``child.Request`` as JSON on stdin and one
JSON object on the last line of stdout. Like ``child.py``, which must lie beside it, it needs the standard library,
numpy and one runtime, nothing of edgekd.
"""

from __future__ import annotations

import json
import os
import select
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain
from pathlib import Path
from statistics import fmean, median
from struct import iter_unpack, pack
from typing import Any, NoReturn

WARMUPS, RUNS, RUNS_S = 8, 50, 2.0  # each operator's time is the mean of so many runs, or of those that fit
EVERY_S = 0.005  # between two looks at memory
STEADY_S = 0.5  # for how long memory is watched after the first inference
PAIR = "<qq"  # a look: nanoseconds of the monotonic clock, bytes


class UnavailableError(Exception):
    """What was asked for can't be had here; the text says why."""


def beside(name: str) -> Any:
    """The module in the file ``name``.py beside this one, also where edgekd isn't installed."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def operators(child: Any, request: Any) -> dict[str, Any]:
    """What each operator is, what ran it, what it took and for how long; seconds of a run without profiling and with.

    Raises:
        UnavailableError: the runtime doesn't tell.

    """
    litert = beside("litert_profiler")
    try:
        if request.runtime == "onnxruntime":
            found: dict[str, Any] = onnx_operators(child, request)
        else:
            found = litert.operators(child, request, WARMUPS, partial(within, RUNS, RUNS_S))
    except litert.ProfilerError as error:
        raise UnavailableError(str(error)) from error
    by_run_s = found.pop("by_run_s")
    typical = quicker_half(by_run_s)
    named = [{**each, "seconds": seconds} for each, seconds in zip(found["operators"], typical, strict=True)]
    return {**found, "operators": named, "runs": len(by_run_s)}


def quicker_half(by_run_s: list[list[float]]) -> list[float]:
    """The mean of each column over the rows whose sum is at most the median of the sums.

    Other work that interrupts one run for milliseconds would otherwise be one operator's.

    >>> quicker_half([[1.0, 2.0], [1.0, 4.0], [90.0, 3.0]])
    [1.0, 3.0]
    """
    most = median(map(sum, by_run_s))
    return [fmean(column) for column in zip(*(row for row in by_run_s if sum(row) <= most), strict=True)]


class Profiling:
    """onnxruntime, whose sessions profile themselves: a file is loaded with it as with the real one."""

    def __init__(self, module: Any, prefix: str) -> None:
        self._module, self._prefix = module, prefix
        self.session: Any = None

    def SessionOptions(self) -> Any:  # noqa: N802 (onnxruntime's name)
        """Options that ask for it."""
        options = self._module.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, self._prefix
        return options

    def InferenceSession(self, *given: Any, **named: Any) -> Any:  # noqa: N802 (onnxruntime's name)
        """A session, which is also kept."""
        self.session = self._module.InferenceSession(*given, **named)
        return self.session


def onnx_operators(child: Any, request: Any) -> dict[str, Any]:
    """By onnxruntime's own profiling, in a second session with the same options."""
    module = import_module("onnxruntime")
    plain_s = runs_s(bound(child, request, module))[WARMUPS:]
    with tempfile.TemporaryDirectory(prefix="edgekd-operators-") as scratch:
        profiling = Profiling(module, f"{scratch}/profile")
        profiled_s = runs_s(bound(child, request, profiling))
        events = json.loads(Path(profiling.session.end_profiling()).read_text(encoding="utf-8"))
    return {
        **onnx_runs(events, len(profiled_s)),
        "plain_s": median(plain_s),
        "profiled_s": median(profiled_s[WARMUPS:]),
        "requested": "CPUExecutionProvider",
    }


def onnx_runs(events: list[dict[str, Any]], runs: int) -> dict[str, Any]:
    """The operators, and their seconds in each run after the warm-ups; one that runs k times a run has k times as many.

    >>> event = {"cat": "Node", "name": "a_kernel_time", "dur": 1, "args": {"op_name": "Add", "provider": "CPU"}}
    >>> onnx_runs([event] * 18, 9)
    {'operators': [{'name': 'a', 'type': 'Add', 'provider': 'CPU', 'takes': []}], 'by_run_s': [[2e-06]]}
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event)
    named = [
        {
            "name": name,
            "type": calls[0]["args"]["op_name"],
            "provider": calls[0]["args"]["provider"],
            "takes": [next(iter(each), "") for each in calls[0]["args"].get("input_type_shape", ())],
        }
        for name, calls in found.items()
    ]
    shares = [[len(calls) * run // runs for run in range(runs + 1)] for calls in found.values()]
    by_run_s = [
        [
            sum(each["dur"] for each in calls[at[run] : at[run + 1]]) / 1e6
            for calls, at in zip(found.values(), shares, strict=True)
        ]
        for run in range(WARMUPS, runs)
    ]
    return {"operators": named, "by_run_s": by_run_s}


def bound(child: Any, request: Any, module: Any) -> Callable[[], object]:
    """What runs the model once, loaded and fed."""
    loaded = child.load(module, request)
    invoke: Callable[[], object] = loaded.bind(child.read_inputs(Path(request.inputs), loaded.inputs))
    return invoke


def runs_s(invoke: Callable[[], object]) -> list[float]:
    """Seconds of each run, the warm-ups first."""
    return [timed(invoke) for _ in chain(range(WARMUPS), within(RUNS, RUNS_S))]


def timed(invoke: Callable[[], object]) -> float:
    """Seconds of one run."""
    before = time.perf_counter()
    invoke()
    return time.perf_counter() - before


def within(count: int, seconds: float) -> Iterator[int]:
    """Count to ``count``, but not beyond ``seconds``; at least once."""
    began = time.perf_counter()
    for number in range(count):
        yield number
        if time.perf_counter() - began > seconds:
            return


def memory(child: Any, request: Any) -> dict[str, Any]:
    """Resident bytes every 5 ms from the start of this process, and when what was done.

    Raises:
        UnavailableError: the system doesn't tell.

    """
    watcher = Watcher()
    module = import_module(child.MODULES[request.runtime])
    marks = {"runtime imported": time.monotonic_ns()}
    loaded = child.load(module, request)
    marks["model loaded"] = time.monotonic_ns()
    invoke = loaded.bind(child.read_inputs(Path(request.inputs), loaded.inputs))
    invoke()
    marks["first inference"] = time.monotonic_ns()
    for _ in within(sys.maxsize, STEADY_S):
        invoke()
    looks = watcher.ended()
    began = looks[0][0]
    return {
        "seconds": [(at - began) / 1e9 for at, _ in looks],
        "bytes": [size for _, size in looks],
        "marks": {name: (at - began) / 1e9 for name, at in marks.items()},
        "peak_bytes": child.peak_memory_bytes(),
    }


class Watcher:
    """A second process that looks at this one's memory: a thread would wait while a runtime holds Python's lock.

    It is forked before anything large is imported, and ends when this one does.
    """

    def __init__(self) -> None:
        statm = Path(f"/proc/{os.getpid()}/statm")
        if not statm.exists():
            raise UnavailableError("this system does not tell a process's memory")
        self._looks = tempfile.TemporaryFile()  # noqa: SIM115 (read at the end)
        stop, self._end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._end)
            _watch(statm, self._looks.fileno(), stop)
        os.close(stop)

    def ended(self) -> list[tuple[int, int]]:
        """Have it end; all that it saw, as nanoseconds and bytes."""
        os.close(self._end)
        os.waitpid(self._pid, 0)
        with self._looks as looks:
            looks.seek(0)
            return list(iter_unpack(PAIR, looks.read()))


def _watch(statm: Path, looks: int, stop: int) -> NoReturn:
    """Note the memory until the other end of ``stop`` is closed, which the end of that process does too."""
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        while not select.select([stop], [], [], EVERY_S)[0]:
            os.write(looks, pack(PAIR, time.monotonic_ns(), int(statm.read_text().split()[1]) * page))
    finally:
        os._exit(0)


def main(look: str) -> None:
    """Take one look, and write what was seen."""
    child = beside("child")
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.dup2(1, child.STDOUT)
    os.dup2(2, 1)  # whatever a runtime prints goes to stderr
    request = child.Request(**json.loads(sys.stdin.read()))
    try:
        found = {"operators": operators, "memory": memory}[look](child, request)
    except (UnavailableError, child.Refused) as error:
        found = {"unavailable": str(error)}
    os.write(child.STDOUT, (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
