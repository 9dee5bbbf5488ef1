"""Remedies: what to try where a limit is exceeded, each with a figure that this run measured or that can be predicted.

Where the device can be predicted, so are variants of the file (:mod:`edgekd.variants`), as the file itself is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekd import variants
from edgekd.device import Device
from edgekd.judge import Check, Evidence, Scores, Verdict, decide, judge, more_is_better
from edgekd.limits import Limit
from edgekd.profile.measurement import Interval, Measurement, Provenance
from edgekd.report.model import CheckRow, TryRow
from edgekd.targets import predicted
from edgekd.variants import File, Variant

MOST = 3
IMAGE = "image"  # what a test item is called where models take images
PREDICTED = frozenset({"latency", "peak_memory", "energy"})  # all of which depend on what goes in
UNPRUNED = "student_unpruned"  # what pruning starts from, where there is that
ORDER = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What remedies are told from: of a build, or as far as a finished run's folder still has it."""

    limits: tuple[Limit, ...]
    judged: frozenset[Provenance]
    on_host: bool
    device: Device | None  # for which files can be predicted
    has_student: bool  # of its own, which isn't the teacher
    scores: Mapping[str, Scores]  # by model
    measured: Mapping[str, tuple[Measurement, ...]]
    files: Mapping[str, File]
    max_length: int  # of a text, in tokens; 0 where there are none
    of_images: bool  # whether the models take images


def rows(check: CheckRow, checks: Sequence[CheckRow], known: Known) -> tuple[TryRow, ...]:
    """What to try about a check that failed, the most promising first."""
    if check.verdict != Verdict.FAIL or check.point is None:
        return ()
    tried = [row for row in _all(check, checks, known) if row.point is not None and _better(row.point, check)]
    return tuple(sorted(tried, key=lambda row: ORDER.index(Verdict(row.verdict)))[:MOST])


def _all(check: CheckRow, checks: Sequence[CheckRow], known: Known) -> Iterator[TryRow]:
    for other in checks:
        if other.artifact.endswith("_int8") and other.artifact != check.artifact and other.limit == check.limit:
            observed = (other.provenance, other.point, other.lower, other.upper)
            yield TryRow(f"shipping {other.artifact} instead", *observed, other.unit, other.verdict)
    limit = next((each for each in known.limits if each.text == check.limit), None)
    if limit is None:
        return
    if limit.metric == "quality":
        yield from _quality(limit, check.artifact, known)
    elif known.on_host:
        yield from _in_float(limit, check.artifact, known)
    elif check.artifact in known.files:
        yield from _variants(limit, known.files[check.artifact], known)


def _better(point: float, check: CheckRow) -> bool:
    nearer = check.point is not None and (point > check.point if more_is_better(check.limit) else point < check.point)
    return nearer and round(point, 12) != check.point


def _row(text: str, check: Check) -> TryRow:
    provenance = str(check.provenance)
    return TryRow(text, provenance, check.point, check.lower, check.upper, check.dimension, check.verdict)


def _quality(limit: Limit, artifact: str, known: Known) -> Iterator[TryRow]:
    """Where the quality was lost: in rounding, in pruning, or in the training that came first."""
    in_float = artifact.replace("int8", "float")
    rounding = "keeping operators in float (keep_float in 'quantize'), or 'qat': with all of them in float it is"
    yield from _scored(rounding, limit, in_float, known)
    yield from _scored("pruning less (macs_kept in 'prune'): before pruning it was", limit, UNPRUNED, known)


def _scored(text: str, limit: Limit, model: str, known: Known) -> Iterator[TryRow]:
    if model in known.scores:
        evidence = Evidence(model, (), known.scores[model], known.scores)
        yield from (_row(text, each) for each in judge((limit,), evidence, frozenset()))


def _in_float(limit: Limit, artifact: str, known: Known) -> Iterator[TryRow]:
    """On this machine the float version was measured too."""
    name = artifact.replace("int8", "float")
    if name in known.measured:
        evidence = Evidence(name, known.measured[name], np.zeros(0), {})
        (check,) = judge((limit,), evidence, known.judged)
        yield _row(f"shipping {name}, the same in float", check)


def _variants(limit: Limit, file: File, known: Known) -> Iterator[TryRow]:
    """What is predicted for each kind of variant: the widest that meets the limit, or else the narrowest."""
    kinds = [variants.narrower(file, has_student=known.has_student)]
    if limit.base in PREDICTED:
        kinds += [variants.shorter(file, known.max_length)]
        kinds += [variants.smaller(file)] if known.of_images else []
    for kind in kinds:
        tried = [row for variant in kind for row in _predicted(variant, limit, known.device)]
        meeting = [row for row in tried if row.verdict == Verdict.PASS]
        yield from (meeting or tried[-1:])[:1]


def _predicted(variant: Variant, limit: Limit, device: Device | None) -> Iterator[TryRow]:
    interval = _interval(variant, limit, device)
    if interval is not None:
        verdict = decide(limit, interval.lower, interval.upper)
        bounds = (interval.point, interval.lower, interval.upper)
        yield TryRow(variant.text, Provenance.PREDICTED, *bounds, limit.dimension, verdict)


def _interval(variant: Variant, limit: Limit, device: Device | None) -> Interval | None:
    if limit.metric == "size":
        return Interval(*(float(variant.size_bytes),) * 3)
    if device is None:
        return None
    measurements = predicted.predict(variant.graph, device, "", variant.size_bytes)
    return next((_bounds(each, limit) for each in measurements if each.metric == limit.base), None)


def _bounds(measurement: Measurement, limit: Limit) -> Interval | None:
    return measurement.predicted.get(f"p{limit.percent:g}" if limit.percent else "value")
