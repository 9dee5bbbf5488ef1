"""The order in which a static INT8 file's operators should return to float, measured on rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edgekd.algorithms.sensitivity import most_sensitive_first, relative_errors
from edgekd.quantizers import onnx_static, tflite_static
from edgekd.tasks.base import Arrays

Tensors = Mapping[str, npt.NDArray[Any]]


def of_onnx(source: Path, quantized: Path, rows: Arrays) -> list[str]:
    """Names of ``source``'s nodes that were quantized, the one that loses most first.

    ``source`` is what onnx_static.prepare wrote, ``quantized`` what onnx_static.quantize made of it.
    """
    operators = onnx_static.operators(source)
    names = {each.output for each in operators} | {name for each in operators for name in each.inputs}
    pairs = zip(onnx_static.tensors(source, names, rows), onnx_static.tensors(quantized, names, rows), strict=True)
    return most_sensitive_first(operators, relative_errors(pairs))


def of_tflite(source: Path, quantized: Path, rows: Arrays) -> list[str]:
    """Names of ``source``'s operators that were quantized, the one that loses most first."""
    operators = tflite_static.operators(source)
    pairs = zip(tflite_static.tensors(source, rows), tflite_static.tensors(quantized, rows), strict=True)
    return most_sensitive_first(operators, relative_errors(pairs))
