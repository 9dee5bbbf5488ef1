"""Remedies: what to try where a limit is exceeded, each with a figure that this run measured or that can be predicted.

The narrower models are this file's own graph with fewer channels or a shorter text, predicted as the file itself is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edgekd.evidence import Findings
from edgekd.float_models import float_names
from edgekd.judge import Check, Evidence, Verdict, decide, judge
from edgekd.limits import Limit
from edgekd.profile.measurement import Interval, Measurement, Provenance
from edgekd.report.model import TryRow
from edgekd.runtimes import BY_KIND
from edgekd.runtimes.graph import Graph, Kernel, Operator
from edgekd.targets import predicted

MOST = 3
IMAGE_CHANNELS = 4
SHARES = (0.75, 0.5, 0.25)  # of a model's width
ORDER = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)


def rows(check: Check, checks: Sequence[Check], found: Findings) -> tuple[TryRow, ...]:
    """What to try about a check that failed, the most promising first."""
    if check.verdict is not Verdict.FAIL or check.point is None:
        return ()
    tried = [row for row in _all(check, checks, found) if row.point is not None and _better(row.point, check)]
    return tuple(sorted(tried, key=lambda row: ORDER.index(Verdict(row.verdict)))[:MOST])


def _all(check: Check, checks: Sequence[Check], found: Findings) -> Iterator[TryRow]:
    for other in checks:
        if other.artifact in found.shipped and other.artifact != check.artifact and other.limit == check.limit:
            yield _row(f"shipping {other.artifact} instead", other)
    limit = next((each for each in found.plan.limits if each.text == check.limit), None)
    if limit is None:
        return
    if limit.metric == "quality":
        yield from _quality(limit, check.artifact, found)
    elif found.plan.device.is_host:
        yield from _in_float(limit, check.artifact, found)
    else:
        yield from _narrower(limit, check.artifact, found)
        yield from _shorter(limit, check.artifact, found)


def _better(point: float, check: Check) -> bool:
    nearer = check.point is not None and (point > check.point if check.is_floor else point < check.point)
    return nearer and round(point, 12) != check.point


def _row(text: str, check: Check) -> TryRow:
    provenance = str(check.provenance)
    return TryRow(text, provenance, check.point, check.lower, check.upper, check.dimension, check.verdict)


def _quality(limit: Limit, artifact: str, found: Findings) -> Iterator[TryRow]:
    """Where the quality was lost: in rounding, in pruning, or in the training that came first."""
    pipeline = found.plan.pipeline
    in_float = artifact.replace("int8", "float")
    rounding = "keeping operators in float (keep_float in 'quantize'), or 'qat': with all of them in float it is"
    yield from _scored(rounding, limit, in_float, found)
    before = float_names(pipeline).get("distill")
    if pipeline.step("prune") is not None and before is not None:
        yield from _scored("pruning less (macs_kept in 'prune'): before pruning it was", limit, before, found)


def _scored(text: str, limit: Limit, model: str, found: Findings) -> Iterator[TryRow]:
    if model in found.outputs:
        evidence = Evidence(model, (), found.scores(model), found.references)
        yield from (_row(text, each) for each in judge((limit,), evidence, frozenset()))


def _in_float(limit: Limit, artifact: str, found: Findings) -> Iterator[TryRow]:
    """On this machine the float version was measured too."""
    name = artifact.replace("int8", "float")
    if name in found.measured:
        evidence = Evidence(name, found.measured[name], found.scores(name), {})
        (check,) = judge((limit,), evidence, found.judged)
        yield _row(f"shipping {name}, the same in float", check)


@dataclass(frozen=True, slots=True)
class _Variant:
    """A file that could be made."""

    text: str
    graph: Graph
    size_bytes: int


def _narrower(limit: Limit, artifact: str, found: Findings) -> Iterator[TryRow]:
    """The widest that meets the limit; where none does, the narrowest."""
    graph, size_bytes = found.graphs[artifact], found.files[artifact].size_bytes
    tried: list[TryRow] = []
    for share in SHARES:
        made = narrowed(graph, share)
        lighter = size_bytes - (graph.weight_bytes - made.weight_bytes)
        tried += _predicted(_Variant(_narrow_text(share, found), made, lighter), limit, found)
    meeting = [row for row in tried if row.verdict == Verdict.PASS]
    yield from (meeting or tried[-1:])[:1]


def _narrow_text(share: float, found: Findings) -> str:
    pipeline = found.plan.pipeline
    if pipeline.student is not None:
        return f"a [student] of {share:g} of its width"
    return f"a teacher pruned to {share * share:.2g} of its work (macs_kept in 'prune')"


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


def _shorter(limit: Limit, artifact: str, found: Findings) -> Iterator[TryRow]:
    """An ONNX encoder takes texts of any length: the same file is described for half of it."""
    length = found.artifacts["tokenizer"].facts["max_length"] if "tokenizer" in found.artifacts else 0
    file = found.files[artifact]
    if length < 2 or artifact != "onnx_int8" or limit.metric == "size":
        return
    graph = BY_KIND[file.kind].describe(file.path, length // 2)
    text = f"texts of at most {length // 2} tokens instead of {length} (max_length)"
    yield from _predicted(_Variant(text, graph, file.size_bytes), limit, found)


def _predicted(variant: _Variant, limit: Limit, found: Findings) -> Iterator[TryRow]:
    interval = _interval(variant, limit, found)
    if interval is not None:
        verdict = decide(limit, interval.lower, interval.upper)
        bounds = (interval.point, interval.lower, interval.upper)
        yield TryRow(variant.text, Provenance.PREDICTED, *bounds, limit.dimension, verdict)


def _interval(variant: _Variant, limit: Limit, found: Findings) -> Interval | None:
    if limit.metric == "size":
        return Interval(*(float(variant.size_bytes),) * 3)
    if not predicted.can_predict(found.plan.device):
        return None
    device, size_bytes = found.plan.device, variant.size_bytes
    measurements = predicted.predict(variant.graph, device, "", size_bytes)
    return next((_bounds(each, limit) for each in measurements if each.metric == limit.base), None)


def _bounds(measurement: Measurement, limit: Limit) -> Interval | None:
    return measurement.predicted.get(f"p{limit.percent:g}" if limit.percent else "value")
