"""Run an ONNX file with onnxruntime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekd.errors import StageError
from edgekd.runtimes.graph import Graph

NAME = "onnxruntime"
SUFFIX = ".onnx"


def feed(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Inputs (N, 3, H, W) in the layout that the file takes: the same."""
    return inputs


class Runner:
    """A loaded model that takes inputs in the task's layout (N, 3, H, W), one at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a class of its own for each of its status codes
            raise StageError(f"{path}: onnxruntime can't load it: {error}") from error
        self._input = self._session.get_inputs()[0].name

    def run(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Logits (N, classes) for ``inputs`` (N, 3, H, W)."""
        rows = [self._session.run(None, {self._input: inputs[i : i + 1]})[0] for i in range(len(inputs))]
        return np.concatenate(rows)


def describe(path: Path) -> Graph:
    """What the file computes."""
    from edgekd.runtimes import onnx_graph

    return onnx_graph.describe(path)
