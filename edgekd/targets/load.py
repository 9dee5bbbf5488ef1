"""The work of a network by kind, which is all that predictions know of it."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.runtimes.graph import Graph, Operator

LEAST_WINOGRAD_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Load:
    """The work of one inference, by kind."""

    pointwise: float
    wide: float
    winograd: float
    depthwise: float
    dense: float
    unpacked: float  # the share of pointwise, wide and winograd whose channels don't fill vectors of four
    weights: float
    values: float
    read: float
    transformed: float
    operators: float


def load_of(graph: Graph) -> Load:
    """The work of a model file."""
    macs = {"pointwise": 0.0, "wide": 0.0, "winograd": 0.0, "depthwise": 0.0, "dense": 0.0}
    values = read = transformed = unpacked = 0.0
    for each in graph.operators:
        width = 1 if each.int8 else 4
        written, taken = each.bytes_written / width, each.bytes_read / width
        kind = _filter(each, written, taken) if each.kind in {"conv", "other"} else each.kind
        macs[kind] += each.macs
        values, read = values + written, read + taken
        transformed += written + taken if kind == "winograd" else 0.0
        unpacked += each.macs if each.kernel and each.kind == "conv" and each.kernel.outputs % 4 else 0.0
    moved = {"values": values, "read": read, "transformed": transformed, "operators": len(graph.operators)}
    return Load(**macs, unpacked=unpacked, weights=graph.weights, **moved)


def _filter(operator: Operator, written: float, read: float) -> str:
    """What kind a convolution is; a stride, or groups, make it read more places than it writes.

    A sum that was fused into it is read too, so up to twice as many.
    """
    kernel = operator.kernel
    if kernel is None or kernel.places == 1:
        return "pointwise"
    dense = read / kernel.inputs <= 2.5 * written / kernel.outputs
    deep = min(kernel.inputs, kernel.outputs) >= LEAST_WINOGRAD_CHANNELS
    return "winograd" if kernel.places == 9 and dense and deep else "wide"
