"""Variants: files that could be made instead of a shipped one, described without being made.

They are the file's own graph with fewer channels, for shorter texts or for smaller images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgekd.runtimes import onnxruntime
from edgekd.runtimes.graph import Graph, Kernel, Operator

IMAGE_CHANNELS = 4
WIDTHS = (0.75, 0.5, 0.25)  # shares of a model's width
SIDES = (0.75, 0.5)  # shares of an image's height and width


@dataclass(frozen=True, slots=True)
class File:
    """A shipped file."""

    path: Path
    size_bytes: int
    graph: Graph


@dataclass(frozen=True, slots=True)
class Variant:
    """A file that could be made."""

    text: str
    graph: Graph
    size_bytes: int


def narrower(file: File, *, has_student: bool) -> Iterator[Variant]:
    """The widest first; ``has_student``: one of its own, which isn't the teacher."""
    for share in WIDTHS:
        made = narrowed(file.graph, share)
        lighter = file.size_bytes - (file.graph.weight_bytes - made.weight_bytes)
        pruned = f"a teacher pruned to {share * share:.2g} of its work (macs_kept in 'prune')"
        yield Variant(f"a [student] of {share:g} of its width" if has_student else pruned, made, lighter)


def shorter(file: File, length: int) -> Iterator[Variant]:
    """An ONNX encoder takes texts of any length: the same file is described for half of it."""
    if length > 1 and file.path.suffix == onnxruntime.SUFFIX:
        text = f"texts of at most {length // 2} tokens instead of {length} (max_length)"
        yield Variant(text, onnxruntime.describe(file.path, length // 2), file.size_bytes)


def smaller(file: File) -> Iterator[Variant]:
    """For smaller images, the largest first, as far as the graph of an ONNX file takes them as it stands."""
    if file.path.suffix != onnxruntime.SUFFIX or [len(each.shape) for each in file.graph.inputs] != [4]:
        return
    _, channels, *before = file.graph.inputs[0].shape
    for share in SIDES if channels <= IMAGE_CHANNELS else ():
        height, width = (round(side * share) for side in before)
        graph = onnxruntime.resized(file.path, (height, width)) if 0 < height * width < before[0] * before[1] else None
        if graph is not None and _shapes(graph) == _shapes(file.graph):
            text = f"images of {height} x {width} pixels instead of {before[0]} x {before[1]}"
            yield Variant(text, graph, file.size_bytes)


def _shapes(graph: Graph) -> list[tuple[int, ...]]:
    """Of what comes out."""
    return [each.shape for each in graph.outputs]


def narrowed(graph: Graph, share: float) -> Graph:
    """The same network with ``share`` of its inner channels: what it takes and gives stays as wide.

    The work between two inner layers falls with the square; that of the first and last layer, of depthwise layers, of
    products of activations and of what is no product falls with the width itself.
    """
    places = [place for place, each in enumerate(graph.operators) if each.macs and each.weights]
    ends = {places[0], places[-1]} if places else set()
    operators = tuple(_narrowed(each, share, inner=place not in ends) for place, each in enumerate(graph.operators))
    held = sum(each.weight_bytes for each in graph.operators)
    left = sum(each.weight_bytes for each in operators)
    return replace(
        graph,
        operators=operators,
        activation_peak_bytes=round(graph.activation_peak_bytes * share),
        weight_bytes=round(graph.weight_bytes * left / held) if held else graph.weight_bytes,
    )


def _narrowed(operator: Operator, share: float, *, inner: bool) -> Operator:
    squared = inner and operator.kind in ("conv", "dense") and operator.macs and operator.weights
    factor = share * share if squared else share
    return replace(
        operator,
        macs=round(operator.macs * factor),
        weights=round(operator.weights * factor),
        weight_bytes=round(operator.weight_bytes * factor),
        bytes_read=round(operator.bytes_read * share),
        bytes_written=round(operator.bytes_written * share),
        kernel=operator.kernel and _narrowed_kernel(operator.kernel, share),
    )


def _narrowed_kernel(kernel: Kernel, share: float) -> Kernel:
    """What an image has (up to four channels), and a group of one, stays."""
    inputs = kernel.inputs if kernel.inputs <= IMAGE_CHANNELS else round(kernel.inputs * share)
    return replace(kernel, inputs=inputs, outputs=round(kernel.outputs * share))
