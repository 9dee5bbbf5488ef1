"""The latency on one core of a device, carried over from published rows and from the device's own anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from edgekd.algorithms.intervals import Bounds, hull
from edgekd.algorithms.transfer import Evidence, Sample
from edgekd.device import Cluster, Device
from edgekd.runtimes.graph import Graph
from edgekd.targets import anchors
from edgekd.targets.anchors import Anchor
from edgekd.targets.latency_model import isa_class_of
from edgekd.targets.load import Load, load_of
from edgekd.targets.transfer import Core, Group, Place, groups, read_rows, sample
from edgekd.targets.transfer_errors import evidence


def latency_s(graph: Graph, device: Device, cluster: Cluster, known: Sequence[Anchor]) -> Bounds:
    """The median latency on one core of ``cluster``; ``known`` anchors are used where they fit.

    Of a file that computes partly in 8 bits, both what it would take all in 8 bits and all in float are held.
    """
    found = _in(anchors.precision_of(graph), graph, device, cluster, known)
    if graph.int8_share in {0.0, 1.0}:
        return found
    other = "float" if anchors.precision_of(graph) == "int8" else "int8"
    return hull(found, _in(other, graph, device, cluster, known))


def _in(precision: str, graph: Graph, device: Device, cluster: Cluster, known: Sequence[Anchor]) -> Bounds:
    group, rows = groups()[precision], _evidence(precision)
    used = [each for each in known if anchors.usable(each, graph.runtime, precision)]
    loads = {f"anchor {index}": each.load for index, each in enumerate(used)}
    place = _place(device, cluster)
    samples = [
        _sample(place, load, name, graph.runtime, precision, group)
        for name, load in {"this file": load_of(graph), **loads}.items()
    ]
    guess = rows.predict(samples)
    for index, anchor in enumerate(used, 1):
        guess = guess.given(index, math.log(anchor.p50_s))
    wide = group.widening["one anchor" if used else "unseen program"] * guess.deviation(0)
    middle = float(guess.mean[0])
    return Bounds(math.exp(middle), math.exp(middle - wide), math.exp(middle + wide))


def _sample(place: Place, load: Load, name: str, runtime: str, precision: str, group: Group) -> Sample:
    """A network of a family that no row is of, on one thread."""
    row = {"engine": runtime, "precision": precision, "threads": "1", "model": name, "family": name}
    return sample(place, load, row, group.costs)


def _place(device: Device, cluster: Cluster) -> Place:
    chip = device.facts.soc.value if device.facts.soc else device.title
    core = Core(cluster.core, isa_class_of(cluster, device), cluster.clock)
    return Place(device.title, chip, (core,), 1)


@cache
def _evidence(precision: str) -> Evidence:
    kinds = {precision, "fp16"} if precision == "float" else {precision}
    return evidence([row for row in read_rows() if row.precision in kinds], groups()[precision])
