"""Runs a bundle's golden inputs through one runtime, in a process of its own.

Needs Python, numpy and that runtime, nothing else: it is started by its path, also in environments without edgekd.

    python runner.py JOB.json OUT.npz

The last line that it prints is JSON: {}, or {"error": …, "missing": whether the runtime itself can't be started}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
MODULES = {"onnxruntime": "onnxruntime", "ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
TYPES = {"float32": "<f4", "float16": "<f2", "int8": "|i1", "uint8": "|u1", "int32": "<i4", "int64": "<i8"}
Arrays = Mapping[str, Any]


def main(job_file: str, out_file: str) -> Mapping[str, Any]:
    """Run the job; what it gave is in ``out_file``, as 'NUMBER/NAME' of vector and output."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        import numpy as np

        start = RUN[job["runtime"]]()
    except Exception as error:  # noqa: BLE001 (an extension built for another numpy raises more than ImportError)
        return {"error": f"{type(error).__name__}: {error}", "missing": True}
    try:
        run = start(job["model"])
    except Exception as error:  # noqa: BLE001 (each runtime raises kinds of its own)
        return {"error": f"it can't load the file: {error}", "missing": False}
    outputs: dict[str, Any] = {}
    for number, item in enumerate(job["items"]):
        try:
            given = run({each["name"]: load(job["root"], each) for each in item})
        except Exception as error:  # noqa: BLE001 (as above)
            return {"error": f"vector {number}: it can't run the file: {error}", "missing": False}
        outputs.update({f"{number}/{name}": value for name, value in given.items()})
    np.savez(out_file, **outputs)
    return {}


def load(root: str, each: Mapping[str, Any]) -> Any:
    """One tensor of the bundle."""
    import numpy as np

    values = np.frombuffer((Path(root) / each["file"]).read_bytes(), TYPES[each["dtype"]])
    return values.reshape(each["shape"])


def onnxruntime() -> Callable[[str], Callable[[Arrays], Arrays]]:
    """Sessions on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4

    def start(path: str) -> Callable[[Arrays], Arrays]:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]
        return lambda fed: dict(zip(names, session.run(names, dict(fed)), strict=True))

    return start


def litert() -> Callable[[str], Callable[[Arrays], Arrays]]:
    """ai-edge-litert's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    return lambda path: interpreted(Interpreter(path, num_threads=1))


def tflite_runtime() -> Callable[[str], Callable[[Arrays], Arrays]]:
    """The older package's interpreter."""
    from tflite_runtime.interpreter import Interpreter

    return lambda path: interpreted(Interpreter(path, num_threads=1))


def interpreted(interpreter: Any) -> Callable[[Arrays], Arrays]:
    """Outputs by their names in the file."""
    interpreter.allocate_tensors()
    indices = {each["name"]: each["index"] for each in interpreter.get_input_details()}
    given = {each["name"]: each["index"] for each in interpreter.get_output_details()}

    def run(fed: Arrays) -> Arrays:
        for name, values in fed.items():
            interpreter.set_tensor(indices[name], values)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in given.items()}

    return run


RUN = {"onnxruntime": onnxruntime, "ai-edge-litert": litert, "tflite-runtime": tflite_runtime}

if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201 (the line that whoever started this reads)
