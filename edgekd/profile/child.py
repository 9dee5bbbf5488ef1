"""The process in which a model is measured: fresh, so that its peak memory is the model's and nobody else's.

Run as ``python -m edgekd.profile.child``: one JSON object (the fields of :class:`Request`) on stdin, one JSON object on
the last line of stdout, the timed runs as 64-bit nanoseconds in the file ``samples``. With two arguments it reads the
request from the first file and writes the answer to the second, and the samples may go to stdout ('-'). It imports
the standard library, numpy and one runtime, nothing of edgekd, so the file can also be run alone on another machine.
The constants are the rules of measuring; ``runner.c`` is given them.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO, cast

MODULES = {"onnxruntime": "onnxruntime", "tflite": "ai_edge_litert.interpreter"}
POWERCAP = Path("/sys/class/powercap")
STDOUT = 9  # where stdout is kept while 1 is stderr
# Samples are written out in blocks: kept whole, a minute of a 0.05 ms model would add 10 MB to the peak it measures.
BLOCK = 4096  # runs, of 8 bytes
WARMUP_WINDOW = 8  # runs whose median is compared with that of the same number before
WARMUP_GAIN = 0.02  # warm-up is over once a window is not faster than the one before by more than this share
WARMUP_MIN_S = 0.1  # clocks rise over tens of milliseconds, in which a small model runs a hundred times
WARMUP_MAX_S = 10.0
FLUSH_NS = 2_000_000_000  # whoever reads along has all but the last two seconds if the device goes away
STEADY_WINDOW_S = 30.0
STEADY_WINDOWS = 4  # the sustained speed is reached once the means of so many windows in a row differ by no more than
STEADY_SPREAD = 0.03  # this share


class Refused(Exception):  # noqa: N818 (it is an answer to the parent, not a defect)
    """The model or its inputs cannot be used."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be measured; ``inputs`` is a .npy (rows of the only input) or a .npz (rows under each one's name)."""

    model: str
    runtime: str  # one of MODULES
    threads: int
    inputs: str
    samples: str
    min_runs: int
    min_seconds: float
    sustained: bool = False  # run for min_seconds, or until the speed is steady
    pin: bool = False  # to the core that is least busy


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model; a dimension that isn't fixed is -1. ``aliases`` are all names that stand for it."""

    aliases: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in its runtime: ``bind`` takes one array for each input and returns what runs it once."""

    inputs: tuple[Input, ...]
    bind: Callable[[list[Any]], Callable[[], object]]


def measure(request: Request) -> dict[str, Any]:
    """Load and run the model; return durations in s, memory in bytes (None where unknown) and energy.

    Memory is the highest resident set of this process so far: after importing the runtime, after loading the model,
    after all runs. Energy is each counter before and after the timed runs, as :func:`read_energy` returns it.

    Raises:
        Refused: the model cannot be loaded or run, or the inputs do not fit it.

    """
    core = pin_to_idle_core() if request.pin else None
    module = import_module(MODULES[request.runtime])
    base = peak_memory_bytes()
    load_time_s, loaded = _timed(partial(load, module, request))
    load_peak = peak_memory_bytes()
    invoke = loaded.bind(read_inputs(Path(request.inputs), loaded.inputs))
    first_inference_s, _ = _timed(partial(_try, "run", request, invoke))
    cold_start_s = process_age_s()
    gc.collect()
    gc.disable()
    warmups_s, settled = warm_up(invoke)
    with _sink(request.samples) as sink:
        energy = read_energy()
        runs, steady_runs = time_runs(invoke, request, sink)
        energy_after = read_energy()
    return {
        "base_memory_bytes": base,
        "load_time_s": load_time_s,
        "load_peak_bytes": load_peak,
        "cold_start_s": cold_start_s,
        "first_inference_s": first_inference_s,
        "warmups_s": warmups_s,
        "settled": settled,
        "runs": runs,
        "steady_runs": steady_runs,
        "core": core,
        "peak_memory_bytes": peak_memory_bytes(),
        "energy": [energy, energy_after],
    }


def load(module: Any, request: Request) -> Loaded:
    """The model in its runtime, whose Python module is ``module``.

    Raises:
        Refused: it can't be loaded.

    """
    loader = _load_onnxruntime if request.runtime == "onnxruntime" else _load_tflite
    return cast("Loaded", _try("load", request, partial(loader, module, request)))


def warm_up(invoke: Callable[[], object], clock: Callable[[], int] = time.perf_counter_ns) -> tuple[list[float], bool]:
    """Run until it gets no faster; return the durations in s and whether it settled within WARMUP_MAX_S.

    Over once the median of the last WARMUP_WINDOW runs is not more than WARMUP_GAIN below that of as many before, and
    WARMUP_MIN_S have passed.
    """
    durations_s: list[float] = []
    started = clock()
    while True:
        before = clock()
        invoke()
        after = clock()
        durations_s.append((after - before) / 1e9)
        elapsed_s, enough = (after - started) / 1e9, len(durations_s) >= 2 * WARMUP_WINDOW
        if enough and elapsed_s >= WARMUP_MIN_S and settled(durations_s):
            return durations_s, True
        if enough and elapsed_s >= WARMUP_MAX_S:
            return durations_s, False


def time_runs(invoke: Callable[[], object], request: Request, sink: BinaryIO) -> tuple[int, int]:
    """Time single runs until both minima hold, or until the speed is steady where the request says so.

    Each run is written as 64-bit nanoseconds to ``sink``. Returns their number, and how many of the last ones were at a
    steady speed.
    """
    clock, block, steady = time.perf_counter_ns, array("q", bytes(8 * BLOCK)), Steady()
    runs, filled, finished = 0, 0, clock()
    written, window, deadline = finished, finished, finished + int(request.min_seconds * 1e9)
    while runs < request.min_runs or finished < deadline:
        before = clock()
        invoke()
        finished = clock()
        block[filled] = finished - before
        filled, runs = filled + 1, runs + 1
        if filled == BLOCK or finished - written > FLUSH_NS:
            sink.write(memoryview(block)[:filled])
            filled, written = 0, finished
        if request.sustained and finished - window > STEADY_WINDOW_S * 1e9:
            window = finished
            if steady.reached(runs, finished) and runs >= request.min_runs:
                break
    sink.write(memoryview(block)[:filled])
    return runs, steady.runs


class Steady:
    """Whether the speed has become steady: the mean time of a run in each window, without keeping the runs."""

    def __init__(self) -> None:
        self.runs = 0  # that were steady, at the end
        self._marks: list[tuple[int, int]] = []  # runs and nanoseconds at the end of each window

    def reached(self, runs: int, now_ns: int) -> bool:
        """Note the end of a window, and tell whether the last STEADY_WINDOWS were equally fast."""
        self._marks.append((runs, now_ns))
        last = self._marks[-STEADY_WINDOWS - 1 :]
        if len(last) <= STEADY_WINDOWS:
            return False
        means = [(end[1] - start[1]) / (end[0] - start[0]) for start, end in pairwise(last)]
        if max(means) > (1 + STEADY_SPREAD) * min(means):
            return False
        self.runs = last[-1][0] - last[0][0]
        return True


def pin_to_idle_core(watched_s: float = 0.2) -> int | None:
    """Keep this process on the core that did least in the last fifth of a second; None where that can't be done."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        before = _idle_ticks()
        time.sleep(watched_s)
        idle = {core: ticks - before.get(core, ticks) for core, ticks in _idle_ticks().items()}
        core = max(os.sched_getaffinity(0) & idle.keys(), key=lambda each: idle[each])
        os.sched_setaffinity(0, {core})
    except (OSError, ValueError):
        return None
    return core


def _idle_ticks() -> dict[int, int]:
    """Source: proc_stat(5), the fourth figure of a core's line."""
    lines = re.findall(r"^cpu(\d+) (.*)$", Path("/proc/stat").read_text(), re.MULTILINE)
    return {int(core): int(figures.split()[3]) for core, figures in lines}


def process_age_s() -> float | None:
    """Return the seconds since this process was started, as exact as the kernel's ticks; None where it doesn't tell."""
    try:
        started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return None


def _sink(samples: str) -> BinaryIO:
    """A file, or what stdout was before it was turned away."""
    return os.fdopen(STDOUT, "wb", buffering=0) if samples == "-" else Path(samples).open("wb", buffering=0)


def read_inputs(path: Path, inputs: tuple[Input, ...]) -> list[Any]:
    """Return one array for each input: as many of its first rows as the model takes at once, one where that is free.

    Raises:
        Refused: no readable arrays, other names, another type or shape; nothing is cast.

    """
    import numpy as np

    try:
        stored = np.load(path, mmap_mode="r")  # mapped: only the rows that are used count as memory
    except Exception:  # noqa: BLE001 (zipfile's own error comes through)
        raise Refused(f"{path}: found no arrays that numpy can read, expected a .npy or .npz file") from None
    return [np.array(_rows(wanted, _choose(wanted, stored, len(inputs)), path)) for wanted in inputs]


def read_energy(root: Path = POWERCAP) -> dict[str, tuple[int, int]] | str:
    """Return each energy counter as (microjoules, its largest value), or why there are none.

    Only whole packages and their memory: cores and graphics are parts of a package, 'psys' holds the packages again,
    and an mmio zone repeats one under the same name.
    Source: https://docs.kernel.org/power/powercap/powercap.html
    """
    zones: dict[str, tuple[int, int]] = {}
    try:
        for zone in sorted(root.glob("*:*"), key=lambda zone: ("mmio" in zone.name, zone.name)):
            name = (zone / "name").read_text().strip()
            key = f"{zone.name.split(':')[1]}/{name}"
            if key not in zones and re.fullmatch(r"package-\d+|dram", name):
                zones[key] = int((zone / "energy_uj").read_text()), int((zone / "max_energy_range_uj").read_text())
    except PermissionError:
        return "the energy counter is readable by root only"
    except (OSError, ValueError) as error:
        return f"the energy counter is not readable: {error}"
    return zones or "no energy counter on this machine"


def peak_memory_bytes() -> int | None:
    """Return the highest resident set of this process so far.

    From VmHWM and not getrusage on Linux: the latter keeps the parent's peak across fork and exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        match = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        return int(match[1]) * 1024 if match else None
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def main(*arguments: str) -> None:
    """Read a request, measure, and write the answer: from stdin to the last line of stdout, or between two files."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.dup2(1, STDOUT)
    os.dup2(2, 1)  # whatever a runtime prints goes to stderr, also when its buffers are flushed at exit
    text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.read()
    try:
        found = measure(Request(**json.loads(text)))
    except Refused as error:
        found = {"refused": str(error)}
    line = json.dumps(found) + "\n"
    if arguments:
        Path(arguments[1]).write_text(line, encoding="utf-8")
    else:
        os.write(STDOUT, line.encode())


def _load_onnxruntime(module: Any, request: Request) -> Loaded:
    options = module.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = request.threads, 1
    options.log_severity_level = 3  # errors only
    session = module.InferenceSession(request.model, options, providers=["CPUExecutionProvider"])
    names = [found.name for found in session.get_inputs()]
    inputs = tuple(Input((found.name,), _onnx_dtype(found.type), _sizes(found.shape)) for found in session.get_inputs())

    def bind(arrays: list[Any]) -> Callable[[], object]:
        """Outputs stay where the runtime made them, as in a program in C: no copy of them is timed."""
        bound = session.io_binding()
        for name, values in zip(names, arrays, strict=True):
            bound.bind_cpu_input(name, values)
        for found in session.get_outputs():
            bound.bind_output(found.name)
        return partial(session.run_with_iobinding, bound)

    return Loaded(inputs, bind)


def _load_tflite(module: Any, request: Request) -> Loaded:
    import numpy as np

    interpreter = module.Interpreter(model_path=request.model, num_threads=request.threads)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    inputs = tuple(
        Input(aliases(one["name"]), np.dtype(one["dtype"]).name, _sizes(one["shape_signature"])) for one in details
    )

    def bind(arrays: list[Any]) -> Callable[[], object]:
        others = [pair for pair in zip(details, arrays, strict=True) if pair[1].shape != tuple(pair[0]["shape"])]
        for found, values in others:
            interpreter.resize_tensor_input(found["index"], values.shape)
        if others:
            interpreter.allocate_tensors()
        for found, values in zip(details, arrays, strict=True):
            interpreter.set_tensor(found["index"], values)
        invoke: Callable[[], object] = interpreter.invoke
        return invoke

    return Loaded(inputs, bind)


def aliases(tensor: str) -> tuple[str, ...]:
    """All names of a tensor. Converters name the input x of a signature 'serving_default_x:0'."""
    match = re.fullmatch(r"[^/]*serving_default_(.+?)(?::\d+)?", tensor)
    return (tensor, match[1]) if match else (tensor,)


def _onnx_dtype(text: str) -> str:
    name = text.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _sizes(shape: Any) -> tuple[int, ...]:
    return tuple(-1 if isinstance(size, str) or size is None else int(size) for size in shape)


def _choose(wanted: Input, stored: Any, count: int) -> Any:
    if not hasattr(stored, "files"):
        if count == 1:
            return stored
        raise Refused(f"found one array for a model with {count} inputs, expected a .npz file with their names")
    for name in wanted.aliases:
        if name in stored.files:
            return stored[name]
    raise Refused(f"found the arrays {', '.join(stored.files)}, expected one named {' or '.join(wanted.aliases)}")


def _rows(wanted: Input, stored: Any, path: Path) -> Any:
    taken = stored[: max(1, wanted.shape[0])] if stored.ndim and wanted.shape else stored
    fits = len(taken.shape) == len(wanted.shape) and all(
        found > 0 and size in (-1, found) for size, found in zip(wanted.shape, taken.shape, strict=True)
    )
    if not fits or taken.dtype.name != wanted.dtype:
        sizes = " x ".join("any" if size < 0 else str(size) for size in wanted.shape)
        raise Refused(
            f"{path}: found {taken.dtype.name} rows of shape {stored.shape}, "
            f"expected {wanted.dtype} {sizes} for the input {wanted.aliases[-1]!r}"
        )
    return taken


def _try(what: str, request: Request, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise Refused(f"{request.model}: {request.runtime} cannot {what} it: {reason}") from error


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    before = time.perf_counter_ns()
    result = action()
    return (time.perf_counter_ns() - before) / 1e9, result


def settled(durations_s: Sequence[float]) -> bool:
    """Whether the last window's median is not below that of the one before by more than WARMUP_GAIN."""
    last, previous = durations_s[-WARMUP_WINDOW:], durations_s[-2 * WARMUP_WINDOW : -WARMUP_WINDOW]
    return median(last) >= (1 - WARMUP_GAIN) * median(previous)


if __name__ == "__main__":
    main(*sys.argv[1:])
