"""A stand-in for TFLite's benchmark_model, which no registry has: its flags and the lines that it prints.

It runs the real model on the real inputs with the real runtime; the lines have the format of benchmark_model.cc,
benchmark_tflite_model.cc and command_line_flags.cc. There is no GPU here, so that --use_gpu falls back without an
error, as the real one does.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np

DEFAULTS = {
    "num_runs": ("50", "int32", "expected number of runs, see also min_secs, max_secs"),
    "min_secs": ("1", "float", "minimum number of seconds to rerun for"),
    "max_secs": ("150", "float", "maximum number of seconds to rerun for"),
    "num_threads": ("-1", "int32", "number of threads"),
    "warmup_runs": ("1", "int32", "minimum number of runs performed on initialization"),
    "warmup_min_secs": ("0.5", "float", "minimum number of seconds to rerun for"),
    "report_peak_memory_footprint": ("false", "bool", "Report the peak memory footprint"),
    "graph": ("", "string", "graph file name"),
    "input_layer": ("", "string", "input layer names"),
    "input_layer_shape": ("", "string", "input layer shape"),
    "input_layer_value_files": ("", "string", "A map-like string representing value files"),
    "use_gpu": ("false", "bool", "use gpu"),
    "use_xnnpack": ("false", "bool", "explicitly apply the XNNPACK delegate"),
}
Words = dict[str, str]


def log(text: str, level: str = "INFO") -> None:
    sys.stderr.write(f"{level}: {text}\n")


def usage() -> str:
    names = [f"--{name}={value}" for name, (value, _, _) in DEFAULTS.items()]
    width = max(map(len, names))
    rows = [f"\t{one:<{width}}\t{kind}\toptional\t{text}\n" for one, (_, kind, text) in zip(names, DEFAULTS.values())]  # noqa: B905
    return f"usage: {sys.argv[0]} <flags>\nFlags:\n{''.join(rows)}"


def statistics(values: list[int]) -> str:
    ordered = sorted(values)
    at = {
        name: ordered[int(share * (len(values) - 1))] for name, share in (("p5", 0.05), ("median", 0.5), ("p95", 0.95))
    }
    spread = f"min={ordered[0]} max={ordered[-1]} avg={np.mean(values):.6g} std={int(np.std(values))}"
    return f"count={len(values)} first={values[0]} curr={values[-1]} {spread} " + " ".join(
        f"{k}={v}" for k, v in at.items()
    )


def run(interpreter: object, least: int, seconds: float) -> list[int]:
    log(
        f"Running benchmark for at least {least} iterations and at least {seconds:g} seconds "
        "but terminate if exceeding 36000 seconds."
    )
    found: list[int] = []
    ends = time.monotonic() + seconds
    while len(found) < least or time.monotonic() < ends:
        began = time.monotonic_ns()
        interpreter.invoke()  # type: ignore[attr-defined]
        found.append((time.monotonic_ns() - began) // 1000)
    log(statistics(found) + "\n")
    return found


def delegates(given: Words) -> None:
    if given["use_gpu"] == "true":
        log("Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.")
    if given["use_xnnpack"] == "true":  # what the runtime does by itself
        log("Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.")


def main() -> int:
    log("STARTING!")
    given = {name: value for name, (value, _, _) in DEFAULTS.items()}
    for word in sys.argv[1:]:
        name, _, value = word.removeprefix("--").partition("=")
        if word == "--help":
            log(usage(), "ERROR")
            return 1
        if name in given:
            given[name] = value
        else:
            log(f"Unconsumed cmdline flags: {word}", "WARN")
    from ai_edge_litert.interpreter import Interpreter

    began = time.monotonic_ns()
    interpreter = Interpreter(given["graph"], num_threads=int(given["num_threads"]))
    log(f"Loaded model {given['graph']}")
    shapes = [tuple(map(int, shape.split(","))) for shape in given["input_layer_shape"].split(":")]
    for wanted, shape in zip(interpreter.get_input_details(), shapes, strict=True):
        interpreter.resize_tensor_input(wanted["index"], shape)
    delegates(given)
    interpreter.allocate_tensors()
    init = (time.monotonic_ns() - began) // 1000
    files = dict(pair.split(":") for pair in given["input_layer_value_files"].split(","))
    for wanted, name in zip(interpreter.get_input_details(), given["input_layer"].split(","), strict=True):
        values = np.frombuffer(Path(files[name]).read_bytes(), wanted["dtype"])
        interpreter.set_tensor(wanted["index"], values.reshape(wanted["shape"]))
    log(f"The input model file size (MB): {Path(given['graph']).stat().st_size / 1e6:g}")
    log(f"Initialized session in {init / 1e3:g}ms.")
    warm = run(interpreter, int(given["warmup_runs"]), float(given["warmup_min_secs"]))
    timed = run(interpreter, int(given["num_runs"]), float(given["min_secs"]))
    log(
        f"Inference timings in us: Init: {init}, First inference: {warm[0]}, Warmup (avg): {np.mean(warm):.6g}, "
        f"Inference (avg): {np.mean(timed):.6g}"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log(f"Memory footprint delta from the start of the tool (MB): init={peak / 2:.6g} overall={peak:.6g}")
    if given["report_peak_memory_footprint"] == "true":
        log(f"Overall peak memory footprint (MB) via periodic monitoring: {peak:.6g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
