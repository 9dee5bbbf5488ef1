"""Published rows as samples: the network's work, the cores that do it, and what the fitted model expects of both."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgekd.algorithms.transfer import Sample, Term
from edgekd.targets.load import Load
from edgekd.toml_file import Frozen

MODEL = Path(__file__).with_name("transfer_model.json")
ROWS = Path(__file__).with_name("transfer_rows.csv")
IN_ORDER = {"Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520"}
DOTPROD = {"Cortex-A55", "Cortex-A76", "Cortex-A77", "Cortex-A78", "Cortex-X1", "Firestorm"}
I8MM = {"Cortex-A710", "Cortex-A715", "Cortex-A720", "Cortex-X2", "Cortex-X3", "Cortex-X4", "Oryon", "Apple-M3"}
# Multiply-accumulates per cycle that are expected of a core before any row is seen; rows of the class, the core and the
# chip correct them.
EXPECTED = {
    "int8": {"in-order neon": 3.4, "in-order dotprod": 4.4, "out-of-order neon": 6.2, "out-of-order dotprod": 21.0},
    "float": {"in-order neon": 1.7, "in-order dotprod": 3.2, "out-of-order neon": 4.0, "out-of-order dotprod": 12.0},
}
EXPECTED_I8MM = {"int8": 30.0, "float": 22.0}
NAMED = ("engine", "threads", "model", "family")
UNKNOWN = "unknown"
UNKNOWN_CLOCK = 2.5e9  # Hz, where the core isn't known


class Costs(Frozen):
    """In units of a pointwise convolution's multiply-accumulate, and cycles to start an operator."""

    depthwise: float
    wide: float  # in kernels larger than 1 x 1
    winograd: float  # in kernels of 3 x 3 without stride, for which there is Winograd's algorithm
    unpacked: float  # on top, where the channels don't fill vectors of four
    weight: float
    value: float  # each value that is written
    read: float  # each value that is read
    transformed: float  # on top, each value that Winograd's algorithm reads or writes
    operator_cycles: float


class Group(Frozen):
    """What was fitted to the rows of one precision."""

    costs: Costs
    variances: Mapping[str, float]
    noise: float
    widening: Mapping[str, float]  # standard deviations in a 90 % interval, by what is known


@dataclass(frozen=True, slots=True)
class Core:
    """One core at its highest clock."""

    name: str
    isa_class: str
    clock: float  # Hz


@dataclass(frozen=True, slots=True)
class Place:
    """Where something ran: the cores used, biggest first; none where nothing is known of them."""

    unit: str
    chip: str
    cores: tuple[Core, ...]
    threads: int


@dataclass(frozen=True, slots=True)
class Published:
    """One published row."""

    source: str
    engine: str
    precision: str
    threads: str
    place: Place
    model: str
    family: str
    load: Load | None
    latency_s: float


# Keys, feature and the standard deviation in log from which the fit starts.
SHAPES: dict[str, tuple[tuple[str, ...], str | None, float]] = {
    "everything": ((), None, 1.0),
    "program": (("engine",), None, 0.4),
    "class": (("class",), None, 0.15),
    "class, program": (("class", "engine"), None, 0.15),
    "core": (("core",), None, 0.15),
    "core, program": (("core", "engine"), None, 0.15),
    "chip": (("chip",), None, 0.15),
    "device": (("unit",), None, 0.15),
    "clock": ((), "clock", 0.5),
    "cores": ((), "cores", 0.15),
    "cores, class": (("class",), "cores", 0.15),
    "kinds": ((), "kinds", 0.7),
    "kinds, program": (("engine",), "kinds", 0.15),
    "kinds, class": (("class", "engine"), "kinds", 0.15),
    "kinds, core": (("core", "engine"), "kinds", 0.15),
    "kinds, device": (("unit",), "kinds", 0.15),
    "size, program": (("engine",), "size", 0.15),
    "size, class": (("class", "engine"), "size", 0.15),
    "size, device": (("unit",), "size", 0.15),
    "uncounted network": (("model",), "uncounted", 3.0),
    "family": (("family",), None, 0.15),
    "network, program": (("model", "engine"), None, 0.15),
    "family, class": (("family", "class", "engine"), None, 0.15),
    "network, class": (("model", "class", "engine"), None, 0.15),
    "network, core": (("model", "core", "engine"), None, 0.15),
    "family, device": (("family", "unit"), None, 0.15),
    "network by clock": (("model", "engine"), "clock", 0.15),
    "network, chip": (("model", "chip", "engine"), None, 0.15),
    "network by cores": (("model", "engine"), "cores", 0.15),
    "threads": (("threads", "engine"), None, 0.3),
    "threads, class": (("threads", "class", "engine"), None, 0.15),
    "threads, core": (("threads", "core", "engine"), None, 0.1),
    "threads, device": (("threads", "unit"), None, 0.15),
    "kinds, threads": (("threads", "engine"), "kinds", 0.15),
    "kinds, threads, device": (("threads", "unit"), "kinds", 0.1),
    "size, threads": (("threads", "engine"), "size", 0.1),
    "network, threads": (("threads", "model", "engine"), None, 0.1),
    "network, threads, class": (("threads", "model", "class", "engine"), None, 0.05),
    "noise of several threads": (("threads", "model", "unit"), "several", 0.05),
}


def terms(variances: Mapping[str, float]) -> list[Term]:
    """The terms of the model with their fitted variances."""
    return [Term(name, keys, feature, variances[name]) for name, (keys, feature, _) in SHAPES.items()]


def class_of(core: str) -> str:
    """Order of execution and integer instructions of a core that is known by name."""
    extension = "i8mm" if core in I8MM else "dotprod" if core in DOTPROD else "neon"
    return f"{'in-order' if core in IN_ORDER else 'out-of-order'} {extension}"


def rate(core: Core, precision: str) -> float:
    """Multiply-accumulates per second that are expected of ``core``."""
    kind = "int8" if precision.startswith(("int8", "w8")) else "float"
    per_cycle = EXPECTED[kind].get(core.isa_class, EXPECTED_I8MM[kind])
    return per_cycle * core.clock


def sample(place: Place, load: Load | None, row: Mapping[str, str], costs: Costs) -> Sample:
    """A sample of the network ``row['model']`` at ``place``; ``row`` names the keys of NAMED and its precision."""
    cores = place.cores or (Core(UNKNOWN, "out-of-order dotprod", UNKNOWN_CLOCK),)
    rates = [rate(core, row["precision"]) for core in cores]
    kinds, prior = _kinds(load, sum(rates), cores[0].clock, costs)
    return Sample(
        labels={
            **{key: row[key] for key in NAMED},
            "class": cores[0].isa_class if place.cores else UNKNOWN,
            "core": cores[0].name,
            "chip": place.chip,
            "unit": f"{place.unit} {row['engine']}",
        },
        features={
            "kinds": kinds,
            "size": (_size(load) if load else 0.0,),
            "clock": (math.log(cores[0].clock / 2e9),),
            "cores": _cores(rates, place.threads),
            "uncounted": (0.0 if load else 1.0,),
            "several": (0.0 if row["threads"] == "1" else 1.0,),
        },
        prior=prior,
    )


def _size(load: Load) -> float:
    """The logarithm of the work, centred and scaled."""
    return (math.log(max(1e4, load.pointwise + load.wide + load.winograd + load.dense)) - 19.5) / 2


def _kinds(load: Load | None, rate_hz: float, clock: float, costs: Costs) -> tuple[tuple[float, ...], float]:
    """The share of the expected time by kind of work, and its logarithm."""
    if load is None:
        return (0.0,) * 11, math.log(2e9 / rate_hz)
    filtered = (load.wide * costs.wide, load.winograd * costs.winograd, load.depthwise * costs.depthwise)
    moved = (load.weights * costs.weight, load.values * costs.value, load.read * costs.read)
    extra = (load.transformed * costs.transformed, load.unpacked * costs.unpacked)
    seconds = [each / rate_hz for each in (load.pointwise, load.dense, *filtered, *moved, *extra)]
    seconds.append(load.operators * costs.operator_cycles / clock)
    return tuple(each / sum(seconds) for each in seconds), math.log(sum(seconds))


def _cores(rates: Sequence[float], threads: int) -> tuple[float, float, float]:
    """How unlike the cores in use are, and by how much the threads outnumber them."""
    even, slowest = rates[0] * threads, rates[-1] * threads
    return math.log(even / sum(rates)), math.log(sum(rates) / slowest), math.log(max(1.0, threads / len(rates)))


def read_rows(path: Path = ROWS) -> list[Published]:
    """The published rows at ``path``."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_parse(record) for record in csv.DictReader(file)]


def _parse(record: Mapping[str, str]) -> Published:
    kinds = ("conv_macs", "wide_macs", "winograd_macs", "depthwise_macs", "dense_macs", "unpacked_macs")
    moved = ("weights", "values", "read", "transformed", "operators")
    load = None
    if record["conv_macs"]:
        conv, wide, winograd, *rest = (float(record[name]) for name in (*kinds, *moved))
        load = Load(conv - wide, wide - winograd, winograd, *rest)
    threads = {"": 1, "several": 4}.get(record["threads"]) or int(record["threads"])
    labelled = record["precision"] in {"int8", "float"}
    return Published(
        source=record["source"],
        engine=record["engine"] if labelled else f"{record['engine']} {record['precision']}",
        precision=record["precision"],
        threads=record["threads"],
        place=Place(
            f"{record['device']} {record['binding']}",
            record["chip"],
            _used(record["clusters"], record["binding"], record["precision"])[:threads],
            threads,
        ),
        model=record["model"],
        family=record["family"],
        load=load,
        latency_s=float(record["latency_ms"]) / 1e3,
    )


def _used(clusters: str, binding: str, precision: str) -> tuple[Core, ...]:
    """The cores of a text like 2xCortex-A72@1.8+4xCortex-A53@1.4 that ``binding`` leaves, fastest first."""
    cores: list[Core] = []
    for part in filter(None, clusters.split("+")):
        count, rest = part.split("x", 1)
        name, clock = rest.split("@")
        cores += [Core(name, class_of(name), float(clock) * 1e9)] * int(count)
    if binding == "little":
        cores = [core for core in cores if core == cores[-1]]
    if binding == "big":
        cores = [core for core in cores if core.name not in IN_ORDER] or cores
    return tuple(sorted(cores, key=lambda core: rate(core, precision), reverse=True))


def sample_of(row: Published, costs: Costs) -> Sample:
    """The sample of a published row."""
    named = {key: getattr(row, key) for key in (*NAMED, "precision")}
    return sample(row.place, row.load, named, costs)


@cache
def groups() -> Mapping[str, Group]:
    """The shipped fits, by precision and threads."""
    found: dict[str, Any] = json.loads(MODEL.read_text(encoding="utf-8"))
    return {name: Group.model_validate(each) for name, each in found.items()}
