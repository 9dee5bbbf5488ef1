"""Run a TFLite file with ai-edge-litert on the CPU (XNNPACK)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import MissingExtraError, StageError
from edgekd.runtimes import feeding
from edgekd.runtimes.graph import Graph, Length
from edgekd.tasks.base import Arrays

NAME = "tflite"
SUFFIX = ".tflite"


class Runner:
    """A loaded model that takes a task's inputs, one row at a time."""

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
        self._path = path
        details = self._interpreter.get_input_details()
        self._index = {found["name"]: found["index"] for found in details}
        self._wanted = [_wanted(found) for found in details]
        self._outputs = self._interpreter.get_output_details()

    @property
    def takes(self) -> list[feeding.Wanted]:
        """The file's inputs."""
        return list(self._wanted)

    @property
    def gives(self) -> list[feeding.Wanted]:
        """The file's outputs."""
        return [_wanted(found) for found in self._outputs]

    def feed(self, inputs: Arrays) -> dict[str, npt.NDArray[np.generic]]:
        """``inputs`` as the file takes them."""
        return feeding.feed(self._wanted, inputs, str(self._path))

    def signature_feed(self, inputs: Arrays) -> dict[str, npt.NDArray[np.generic]]:
        """``inputs`` by the names of the file's signature."""
        return {each.alias or each.name: self.feed(inputs)[each.name] for each in self._wanted}

    def run(self, batches: Iterable[Arrays]) -> npt.NDArray[np.float32]:
        """The first output (rows, width) for the rows of ``batches``."""
        outputs = [next(iter(self.outputs(self.feed(row)).values())) for row in feeding.single_rows(batches)]
        scale, zero_point = _scale(self._outputs[0])
        found = np.concatenate(outputs)
        return found if scale == 0 else (scale * (found.astype(np.float32) - zero_point)).astype(np.float32)

    def outputs(self, fed: dict[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[Any]]:
        """Every output by its name, as the file gives it, for inputs as :meth:`feed` gives them."""
        for name, values in fed.items():
            self._interpreter.set_tensor(self._index[name], values)
        self._interpreter.invoke()
        return {found["name"]: self._interpreter.get_tensor(found["index"]) for found in self._outputs}


def describe(path: Path, length: Length | None = None) -> Graph:
    """What the file computes; a TFLite file has one ``length`` of its own."""
    del length
    from edgekd.runtimes import tflite_graph

    return tflite_graph.describe(path)


def _wanted(found: Any) -> feeding.Wanted:
    match = re.fullmatch(r"[^/]*serving_default_(.+?)(?::\d+)?", found["name"])
    shape = tuple(int(size) for size in found["shape"])
    return feeding.Wanted(
        found["name"], shape, np.dtype(found["dtype"]).name, match[1] if match else "", *_scale(found)
    )


def _scale(found: Any) -> tuple[float, int]:
    """Scale and zero point of an input or output; the scale is 0 where it takes real numbers, or ids."""
    scale, zero_point = found["quantization"]
    return float(scale), int(zero_point)
