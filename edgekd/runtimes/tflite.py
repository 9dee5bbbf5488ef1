"""Run a TFLite file with ai-edge-litert on the CPU (XNNPACK)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekd.errors import MissingExtraError, StageError
from edgekd.runtimes.graph import Graph

NAME = "tflite"
SUFFIX = ".tflite"


def feed(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Inputs (N, 3, H, W) in the layout that the file takes: (N, H, W, 3)."""
    return np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))


class Runner:
    """A loaded model that takes inputs in the task's layout (N, 3, H, W), one at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise MissingExtraError("ai-edge-litert", "litert", "running a TFLite file") from None
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise StageError(f"{path}: LiteRT can't load it: {error}") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def run(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Logits (N, classes) for ``inputs`` (N, 3, H, W)."""
        rows = []
        for image in feed(inputs):
            self._interpreter.set_tensor(self._input, image[None])
            self._interpreter.invoke()
            rows.append(self._interpreter.get_tensor(self._output))
        return np.concatenate(rows)


def describe(path: Path) -> Graph:
    """What the file computes."""
    from edgekd.runtimes import tflite_graph

    return tflite_graph.describe(path)
