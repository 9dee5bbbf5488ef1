"""Run an ONNX file with onnxruntime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import StageError
from edgekd.runtimes import feeding
from edgekd.runtimes.graph import Graph, Length
from edgekd.tasks.base import Arrays

NAME = "onnxruntime"
SUFFIX = ".onnx"
TYPES = {"float": "float32", "double": "float64"}  # onnxruntime's names that aren't numpy's


class Runner:
    """A loaded model that takes a task's inputs."""

    def __init__(self, path: Path, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a class of its own for each of its status codes
            raise StageError(f"{path}: onnxruntime can't load it: {error}") from error
        self._path = path
        self._wanted = [_wanted(found) for found in self._session.get_inputs()]

    @property
    def takes(self) -> list[feeding.Wanted]:
        """The file's inputs."""
        return list(self._wanted)

    @property
    def gives(self) -> list[feeding.Wanted]:
        """The file's outputs."""
        return [_wanted(found) for found in self._session.get_outputs()]

    def feed(self, inputs: Arrays) -> dict[str, npt.NDArray[np.generic]]:
        """``inputs`` as the file takes them."""
        return feeding.feed(self._wanted, inputs, str(self._path))

    def run(self, batches: Iterable[Arrays]) -> npt.NDArray[np.float32]:
        """The first output (rows, width) for the rows of ``batches``; one by one where the file takes one at a time."""
        if self._wanted[0].shape[:1] != (-1,):
            batches = feeding.single_rows(batches)
        return np.concatenate([self.output(self.feed(batch)) for batch in batches])

    def output(self, fed: dict[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.float32]:
        """The first output for inputs as :meth:`feed` gives them."""
        return np.asarray(self._all(fed)[0])

    def outputs(self, fed: dict[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[Any]]:
        """Every output by its name, for inputs as :meth:`feed` gives them."""
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, map(np.asarray, self._all(fed)), strict=True))

    def _all(self, fed: dict[str, npt.NDArray[np.generic]]) -> list[Any]:
        try:
            return list(self._session.run(None, fed))
        except Exception as error:  # a class of its own for each status code, as above
            raise StageError(f"{self._path}: onnxruntime can't run it: {error}") from error


def describe(path: Path, length: Length | None = None) -> Graph:
    """What the file computes; for texts of ``length`` tokens, where it takes any number of them."""
    from edgekd.runtimes import onnx_graph

    return onnx_graph.describe(path, length)


def resized(path: Path, sides: tuple[int, int]) -> Graph | None:
    """What the file would compute for images of other ``sides`` (height, width); None where it can't take them."""
    from edgekd.runtimes import onnx_graph

    return onnx_graph.resized(path, sides)


def _wanted(found: Any) -> feeding.Wanted:
    dtype = found.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else -1 for size in found.shape)
    return feeding.Wanted(found.name, shape, TYPES.get(dtype, dtype))
