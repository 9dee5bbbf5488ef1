"""How far another machine's outputs may lie from the golden ones, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgekd.bundle.golden import Tolerance
from edgekd.bundle.output_step import output_step

Isa = Literal["x86_64", "arm64", "wasm", "any"]
Arrays = dict[str, npt.NDArray[Any]]
FLOAT = 1e-4  # what sums in another order differ by, in float
ROUNDING = 1.001  # of a step: two floats that lie one apart differ by a little more or less than it
NOISE = 1e-6  # of a value: some units in the last place of float32
SEEDS = (0, 1, 2)
STEPS = {"x86_64": 1, "arm64": 2, "wasm": 2, "any": 2}


def tolerances(path: Path, fed: Sequence[Arrays], golden: Sequence[Arrays], *, logits: bool) -> tuple[Tolerance, ...]:
    """The tolerances of a model file, whose outputs for ``fed`` are ``golden``: one for each instruction set."""
    step = output_step(path)
    apart, cosine = (0.0, 1.0) if step is not None and logits else spread(path, fed, golden)
    made = []
    for isa in get_args(Isa):
        times = STEPS[isa]
        limit, because = _limit(isa, step, apart)
        least = None if logits else round(1 - max(FLOAT, 2 * times * (1 - cosine)), 6)
        made.append(Tolerance(isa=isa, max_abs=limit, top1=logits, cosine=least, because=because))
    return tuple(made)


def _limit(isa: str, step: float | None, apart: float) -> tuple[float, str]:
    times = STEPS[isa]
    kernels = "the same kernels on a processor with other extensions" if isa == "x86_64" else "other kernels"
    if step is not None:
        steps = "1 output step" if times == 1 else f"{times} output steps"
        return ROUNDING * times * step, f"{steps} of {step:.6g}: {kernels} may round the other way"
    measured = f"rounding inside the file turned the noise of float sums into {apart:.3g} at most on this host"
    twice = "" if times == 1 else f", and {kernels} get {times} times that"
    return max(FLOAT, times * apart), f"the output is float: {measured}{twice}; at least {FLOAT:g}"


def spread(path: Path, fed: Sequence[Arrays], golden: Sequence[Arrays]) -> tuple[float, float]:
    """How far a float output moves with the noise of float sums: largest difference to ``golden``, smallest cosine.

    Whole numbers inside a file are rounded float ones, and a sum in another order can tip one of them. That is tried:
    with plain kernels, and for ONNX with float constants that are off by what such sums are.
    """
    runs = [_plain_tflite(path)] if path.suffix == ".tflite" else [_disturbed_onnx(path, seed) for seed in SEEDS]
    apart, cosine = 0.0, 1.0
    for run in runs:
        for inputs, outputs in zip(fed, golden, strict=True):
            first = next(iter(outputs.values())).astype(np.float64).ravel()
            other = np.asarray(run(inputs), np.float64).ravel()
            apart = max(apart, float(np.abs(first - other).max()))
            norms = float(np.linalg.norm(first) * np.linalg.norm(other))
            cosine = min(cosine, float(first @ other) / norms if norms else 1.0)
    return apart, cosine


def _disturbed_onnx(path: Path, seed: int) -> Any:
    """The file with float constants that are off by NOISE of themselves, and without onnxruntime's optimizations."""
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    model, generator = onnx.load(path), np.random.default_rng(seed)
    for each in model.graph.initializer:
        if each.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(each)
            noisy = values * (1 + NOISE * generator.standard_normal(values.shape))
            each.CopyFrom(numpy_helper.from_array(noisy.astype(np.float32), each.name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]


def _plain_tflite(path: Path) -> Any:
    """The file by TensorFlow Lite's own kernels, without XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    places = {each["name"]: each["index"] for each in interpreter.get_input_details()}
    output = interpreter.get_output_details()[0]["index"]

    def run(inputs: Arrays) -> npt.NDArray[Any]:
        for name, values in inputs.items():
            interpreter.set_tensor(places[name], values)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(output))

    return run
