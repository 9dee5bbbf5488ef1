"""LiteRT's own profiler, through its C API: the Python package has the library, but no function for it.

Names and handles as in litert/c of https://github.com/google-ai-edge/LiteRT. The events themselves are a struct whose
layout differs between versions; the printed summary of one run doesn't, and has the same microseconds.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

CPU, WRITE = 1, 1  # kLiteRtHwAcceleratorCpu, kLiteRtTensorBufferLockModeWrite
TYPE_BYTES = 512  # more than a LiteRtRankedTensorType has
LINE = re.compile(r"^ *(\S.*?)((?: +[\d.]+%?){6}) +(\d+) +\[(Builtin|Delegate)\]:(\d+)\s*$", re.MULTILINE)
Handle = ctypes.c_void_p
Size = ctypes.c_size_t


class ProfilerError(Exception):
    """The library doesn't do what it should, or can't run the file."""


class Library:
    """The functions of libLiteRt.so; each gives a status, which is 0 where all is well."""

    def __init__(self) -> None:
        import ai_edge_litert

        try:
            self._library = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
        except OSError as error:
            raise ProfilerError(
                f"found no libLiteRt.so in this ai-edge-litert, which has the profiler: {error}"
            ) from None

    def call(self, name: str, *given: Any) -> None:
        """Call LiteRt``name``."""
        try:
            status = getattr(self._library, f"LiteRt{name}")(*given)
        except AttributeError:
            raise ProfilerError(f"this ai-edge-litert has no LiteRt{name}") from None
        if status:
            raise ProfilerError(f"LiteRt{name} ended with the status {status}")

    def made(self, name: str, *given: Any) -> Any:
        """What it hands out through its last argument."""
        handle = Handle()
        self.call(name, *given, ctypes.byref(handle))
        return handle

    def number(self, name: str, *given: Any) -> int:
        """The same, of a number."""
        size = Size()
        self.call(name, *given, ctypes.byref(size))
        return size.value


class Profiled:
    """A file compiled by LiteRT with its profiler."""

    def __init__(self, path: str, threads: int) -> None:
        self.library = Library()
        self._kept: list[Any] = []  # what the library points to
        environment = Handle()
        self.library.call("CreateEnvironment", 0, None, ctypes.byref(environment))
        self.model = self.library.made("CreateModelFromFile", environment, path.encode())
        options = self.library.made("CreateOptions")
        self.library.call("SetOptionsHardwareAccelerators", options, CPU)
        self._add(options, b"runtime_options_string", b"enable_profiling = true\n")
        self._add(options, b"xnnpack", f"num_threads = {threads}\n".encode())
        self.compiled = self.library.made("CreateCompiledModel", environment, self.model, options)
        self.profiler = self.library.made("CompiledModelGetProfiler", self.compiled)
        signature = self.library.made("GetModelSignature", self.model, Size(0))
        self.inputs = dict(self._buffers("Input", environment, signature))
        self.outputs = dict(self._buffers("Output", environment, signature))

    def _add(self, options: Any, name: bytes, toml: bytes) -> None:
        text, free = ctypes.create_string_buffer(toml), ctypes.CFUNCTYPE(None, Handle)(lambda _: None)
        self._kept += [text, free]
        self.library.call("AddOpaqueOptions", options, self.library.made("CreateOpaqueOptions", name, text, free))

    def _buffers(self, kind: str, environment: Any, signature: Any) -> Iterator[tuple[str, Any]]:
        for number in range(self.library.number(f"GetNumSignature{kind}s", signature)):
            name, shape = ctypes.c_char_p(), ctypes.create_string_buffer(TYPE_BYTES)
            self.library.call(f"GetSignature{kind}Name", signature, Size(number), ctypes.byref(name))
            tensor = self.library.made(f"GetSignature{kind}TensorByIndex", signature, Size(number))
            self.library.call("GetRankedTensorType", tensor, shape)
            place = (self.compiled, Size(0), Size(number))
            wanted = self.library.made(f"GetCompiledModel{kind}BufferRequirements", *place)
            made = self.library.made("CreateManagedTensorBufferFromRequirements", environment, shape, wanted)
            yield (name.value or b"").decode(), made

    def feed(self, buffer: Any, values: bytes) -> None:
        """Put one input's bytes in place."""
        if self.library.number("GetTensorBufferPackedSize", buffer) != len(values):
            raise ProfilerError("the file takes inputs of any size, which LiteRT's compiled models don't")
        place = Handle()
        self.library.call("LockTensorBuffer", buffer, ctypes.byref(place), WRITE)
        ctypes.memmove(place, values, len(values))
        self.library.call("UnlockTensorBuffer", buffer)

    def run(self) -> None:
        """Run the model once."""
        taken, given = ((Handle * len(each))(*each.values()) for each in (self.inputs, self.outputs))
        self.library.call("RunCompiledModel", self.compiled, Size(0), Size(len(taken)), taken, Size(len(given)), given)

    def told(self) -> tuple[float, str]:
        """Run once, profiled; the seconds of that, and the printed summary."""
        self.library.call("ResetProfiler", self.profiler)
        self.library.call("StartProfiler", self.profiler)
        seconds = timed(self.run)
        self.library.call("StopProfiler", self.profiler)
        text = ctypes.c_char_p()
        self.library.call("GetProfileSummary", self.profiler, self.compiled, ctypes.byref(text))
        told = (text.value or b"").decode()
        ctypes.CDLL(None).free(text)
        return seconds, told


def read(summary: str) -> tuple[list[dict[str, Any]], list[float]]:
    """The operators in the order of running, and the seconds of each in all runs so far, out of a summary.

    In whole microseconds. By shares of 0.001 % and their sum it tells them more exactly than by its means.
    """
    table, _, rest = summary.partition("Run Order")[2].partition(" Top ")
    total = re.search(r"Timings \(microseconds\): count=\d+ .*?curr=(\d+)", rest)
    if total is None:
        raise ProfilerError("found a summary of LiteRT's profiler without its sum")
    found, seconds = [], []
    for kind, numbers, _, owner, place in LINE.findall(table):
        who = "XNNPACK" if owner == "Delegate" else "TFLite"
        found.append({"name": place, "type": kind.removeprefix("Delegate/"), "provider": who, "takes": []})
        seconds.append(round(float(numbers.split()[3].rstrip("%")) / 100 * int(total[1])) / 1e6)
    return found, seconds


def operators(child: Any, request: Any, warmups: int, within: Callable[[], Iterable[int]]) -> dict[str, Any]:
    """The operators of a TFLite file, and the seconds of each in each run."""
    model = Profiled(request.model, request.threads)
    feed(child, request, model)
    for _ in range(warmups):
        model.run()
    plain_s = [timed(model.run) for _ in within()]
    told = [model.told() for _ in within()]
    names, first = read(told[0][1])
    sums = [[0.0] * len(first), *(read(summary)[1] for _, summary in told)]
    return {
        "operators": names,
        "by_run_s": [[after - before for before, after in zip(*pair, strict=True)] for pair in pairwise(sums)],
        "plain_s": median(plain_s),
        "profiled_s": median(seconds for seconds, _ in told),
        "requested": "XNNPACK",
    }


def feed(child: Any, request: Any, model: Profiled) -> None:
    """Put the request's rows in place, as ``child`` reads them; a compiled model may have another order of inputs."""
    wanted = child.load(import_module(child.MODULES["tflite"]), request).inputs
    for each, values in zip(wanted, child.read_inputs(Path(request.inputs), wanted), strict=True):
        name = next((name for name in each.aliases if name in model.inputs), None)
        if name is None:
            raise ProfilerError(f"LiteRT calls no input {each.aliases[0]!r} that the file has")
        model.feed(model.inputs[name], values.tobytes())


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
