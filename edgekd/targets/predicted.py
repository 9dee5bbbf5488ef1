"""Predict latency, memory and energy on a device that is not attached, as intervals that are meant to hold.

The latency on a core is carried over from published rows and the device's own anchors (:mod:`edgekd.targets.carried`);
starting many operators, networks smaller than any published one and operators that no row holds make it wider, as
``latency_model.json`` says. The biggest core is assumed; the interval also holds what the next cluster would take,
because nothing pins a phone's thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from edgekd.algorithms.intervals import Bounds, add, ascending, combine, hull, multiply
from edgekd.device import Cluster, Device, Power
from edgekd.errors import BadInputError
from edgekd.profile.measurement import Interval, Measurement, Provenance
from edgekd.profile.rules import Plan
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.graph import Graph
from edgekd.targets import anchors, carried, memory
from edgekd.targets.anchors import Anchor
from edgekd.targets.base import Session, Subject
from edgekd.targets.latency_model import LatencyModel, Precision, Scheduling, isa_class_of, shipped

PERCENTILES = ("p50", "p90", "p95", "p99")


def prepare(device: Device) -> Session:
    """Predict for ``device``, which needs no connection."""
    return PredictedSession(device)


class PredictedSession(Session):
    """Each file is read and not run."""

    def __init__(self, device: Device) -> None:
        self._device = device

    @property
    def identity(self) -> str:
        """The model of the latency and the device's anchors; its facts are read anew each time."""
        return f"latency model {shipped().version} {anchors.digest(self._device)}".rstrip()

    def measure(self, subject: Subject, plan: Plan) -> tuple[Measurement, ...]:
        """Predict one file; the plan of a measurement says nothing here."""
        del plan
        graph = RUNTIMES[subject.runtime].describe(subject.path, subject.length)
        return predict(graph, self._device, subject.artifact, subject.path.stat().st_size)


def predict(graph: Graph, device: Device, artifact: str, size_bytes: int) -> tuple[Measurement, ...]:
    """Predict latency (s), peak memory (B) and energy (J) of one inference, with 90 % intervals.

    ``artifact`` names the file in the measurements; ``size_bytes`` is its size on disk.

    Raises:
        BadInputError: the device is this machine, is not Arm, has unknown cores, or does not run this format.

    """
    clusters = _clusters(graph, device)
    model = shipped()
    median = latency_s(graph, device, clusters, model)
    ratios = {name: entry.bounds for name, entry in model.percentile_ratios[_scheduling(clusters)].items()}
    conditions = _conditions(graph, device, clusters, model)
    sizes = {"basis": model.memory.basis, "file_size_bytes": str(size_bytes)}
    return (
        _measurement(artifact, "latency", _percentiles(median, ratios), conditions),
        _measurement(artifact, "peak_memory", {"value": peak_memory_bytes(graph, model)}, {**conditions, **sizes}),
        _energy(artifact, device, _energy_j(device, combine([median, ratios["mean"]]), model), conditions),
    )


def median_s(graph: Graph, device: Device) -> Bounds:
    """The median latency of one inference, as :func:`predict` has it, with the same errors."""
    return latency_s(graph, device, _clusters(graph, device), shipped())


def can_predict(device: Device) -> bool:
    """Whether a float ONNX file can be predicted for ``device``."""
    return device.arch == "arm64" and device.facts.clusters is not None and "onnxruntime" in device.runtimes


def latency_s(graph: Graph, device: Device, clusters: tuple[Cluster, ...], model: LatencyModel) -> Bounds:
    """The median latency on the biggest core, in an interval that also holds that on the second cluster."""
    known = anchors.read(device)
    first, *others = (_on_core(graph, device, cluster, model, known) for cluster in clusters[:2])
    for other in others:
        first = hull(first, other)
    return first


def _on_core(graph: Graph, device: Device, cluster: Cluster, model: LatencyModel, known: tuple[Anchor, ...]) -> Bounds:
    """``small_networks`` are the errors of small networks where just those above 100 M operations were fitted."""
    factors = [carried.latency_s(graph, device, cluster, known)]
    if graph.macs < (fitted := model.precisions[_precision(graph)]).smallest_macs:
        small = fitted.left_out["small_networks"]
        factors.append(Bounds(1.0, min(1.0, small.lower_factor), max(1.0, small.upper_factor)))
    if _unseen(graph, model):
        factors.append(model.unseen_operators.bounds)
    return combine(factors)


def _precision(graph: Graph) -> Precision:
    """Whichever does more of the work."""
    return "int8" if graph.int8_share >= 0.5 else "float"


def peak_memory_bytes(graph: Graph, model: LatencyModel) -> Bounds:
    """The process: its runtime, and what the file adds; at most all that it could map of its tables beside that."""
    base = model.memory.onnxruntime if graph.runtime == "onnxruntime" else model.memory.tflite
    work = memory.work_of(graph)
    elsewhere = Bounds(1.0, 1 / model.memory.elsewhere, model.memory.elsewhere)
    file = combine([memory.shipped().runtimes[graph.runtime].added(work), elsewhere])
    return add([base.base_bytes.bounds, file, Bounds(0.0, 0.0, work.unread)])


def power_w(power: Power, model: LatencyModel) -> Bounds:
    """The published range, widened at both ends; more where it is of another chip."""
    margin = model.power_margins.carried_over if power.carried_over_from else model.power_margins.own
    return Bounds((power.low * power.high) ** 0.5, power.low / margin, power.high * margin)


def _clusters(graph: Graph, device: Device) -> tuple[Cluster, ...]:
    """The clusters, biggest core first."""
    if device.is_host:
        raise BadInputError(
            f"{device.path}: found this machine as the device, expected another one to predict",
            "measure here instead: nothing needs to be predicted",
        )
    if device.arch != "arm64" or device.facts.clusters is None:
        found = f"arch {device.arch!r}" if device.arch != "arm64" else "no [facts.clusters]"
        raise BadInputError(
            f"{device.path}: found {found}, expected an arm64 device with known cores",
            "predictions rest on published rows of Arm cores: add the cores with their source, or attach the device",
        )
    if graph.runtime not in device.runtimes:
        raise BadInputError(
            f"{device.path}: found runtimes = {list(device.runtimes)}, expected {graph.runtime}, which this file needs",
            "choose the file of another format, or add the runtime to the device",
        )
    clusters = device.facts.clusters.value
    return tuple(sorted(clusters, key=lambda each: (isa_class_of(each, device), each.clock), reverse=True))


def _scheduling(clusters: tuple[Cluster, ...]) -> Scheduling:
    """Cores of several kinds, between which a thread moves, or of one."""
    return "phone" if len(clusters) > 1 else "board"


def _percentiles(median: Bounds, ratios: Mapping[str, Bounds]) -> dict[str, Bounds]:
    tails = [combine([median, ratios[name]]) for name in PERCENTILES[1:]]
    return dict(zip(PERCENTILES, ascending([median, *tails]), strict=True))


def _energy_j(device: Device, mean_s: Bounds, model: LatencyModel) -> Bounds | None:
    """Power times mean latency; their errors may go the same way. None where no power figure is known."""
    power = device.facts.power
    return None if power is None else multiply(power_w(power, model), mean_s)


def _energy(artifact: str, device: Device, energy_j: Bounds | None, conditions: Mapping[str, str]) -> Measurement:
    power = device.facts.power
    if power is None or energy_j is None:
        reason = f"no published power figure of {device.title} or of a near chip"
        return replace(_measurement(artifact, "energy", {}, conditions), unavailable=reason)
    own = f"carried over from {power.carried_over_from}" if power.carried_over_from else "of this device"
    noted = {**conditions, "power_basis": f"{power.basis} ({own}; {power.source})"}
    return _measurement(artifact, "energy", {"value": energy_j}, noted)


def _measurement(
    artifact: str, metric: str, predicted: Mapping[str, Bounds], conditions: Mapping[str, str]
) -> Measurement:
    return Measurement(
        artifact=artifact,
        metric=metric,
        unit={"latency": "s", "peak_memory": "B", "energy": "J"}[metric],
        provenance=Provenance.PREDICTED,
        predicted={name: Interval(*bounds) for name, bounds in predicted.items()},
        conditions=conditions,
    )


def _unseen(graph: Graph, model: LatencyModel) -> list[str]:
    return sorted({operator.op_type for operator in graph.operators} - set(model.seen_operators))


def _conditions(graph: Graph, device: Device, clusters: tuple[Cluster, ...], model: LatencyModel) -> dict[str, str]:
    core = clusters[0]
    share = graph.int8_share
    precision = _precision(graph)
    isa = isa_class_of(core, device)
    references = next((each.devices for each in model.precisions[precision].cores if each.core == core.core), ())
    return {
        "model_version": model.version,
        "confidence": f"{model.confidence:.0%}",
        "nearest_reference": ", ".join(references) or f"other cores of the class {isa!r}",
        "core": f"{core.core} at {core.clock / 1e9:.2f} GHz",
        "isa_class": isa,
        "threads": "1",
        "runtime": graph.runtime,
        "precision": precision if share in {0.0, 1.0} else f"{share:.0%} int8",
        "anchors": _anchors(graph, device, precision),
        "basis": _basis(graph, device, precision, model),
        "operators_never_seen": ", ".join(_unseen(graph, model)) or "none",
    }


def _anchors(graph: Graph, device: Device, precision: Precision) -> str:
    """Which measurements of the device are used, and which are not."""
    known = anchors.read(device)
    used = [each.artifact for each in known if anchors.usable(each, graph.runtime, precision)]
    unused = [each for each in known if not anchors.usable(each, graph.runtime, precision)]
    texts = [", ".join(used) or "none"]
    texts += [
        f"not used: {each.artifact} ({each.runtime}, {each.precision}, threads {each.threads}; "
        f"this is {graph.runtime}, {precision}, one thread)"
        for each in unused
    ]
    return "; ".join(texts)


def warnings(found: Measurement) -> Iterator[str]:
    """What a reader should know of a prediction: operators that no row holds, anchors that say nothing of the file."""
    never = found.conditions.get("operators_never_seen", "none")
    if never != "none":
        yield (
            f"{found.artifact}: no published row holds {never}; the interval of the latency is wider for it, as judged"
        )
    _, unused, anchors_said = found.conditions.get("anchors", "").partition("not used: ")
    if unused:
        yield f"{found.artifact}: anchors that were not used: {anchors_said.replace('; not used:', ',')}"


def _basis(graph: Graph, device: Device, precision: Precision, model: LatencyModel) -> str:
    known = {name for each in model.precisions[precision].cores for name in each.devices}
    there = any(name.startswith((device.title, f"{device.title},")) for name in known)
    own = "a" if there else "no"
    left_out = "programs, chips and families of networks left out make the interval"
    sentences = [f"{own} published one-thread {precision} row is of a {device.title}"]
    sentences.append(f"{graph.runtime} is not told from other programs, for want of its rows: {left_out}")
    if device.threads != 1:
        sentences.append(f"the device asks for {device.threads} threads; the prediction is for one")
    if graph.macs < model.precisions[precision].smallest_macs:
        sentences.append(
            f"the network ({graph.macs / 1e6:.1f} M multiply-accumulates) is smaller than any that was published"
        )
    return "; ".join(sentences)
