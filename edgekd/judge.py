"""Judge: compare evidence with limits. Sees measurements and limits only, never a runner."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edgekd import units
from edgekd.algorithms.order_statistics import effective_sample_size, percentile_bounds, stability
from edgekd.algorithms.proportions import paired_floor
from edgekd.algorithms.wander import wandering_bounds
from edgekd.limits import Limit
from edgekd.profile.measurement import Interval, Measurement, Provenance

Scores = npt.NDArray[np.float64]  # what each test item scored, in the order of the items


class Verdict(StrEnum):
    """What can be said of a limit."""

    PASS = "pass"  # noqa: S105 (a verdict, no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit held against one artifact."""

    artifact: str
    metric: str
    limit: str
    origin: str
    dimension: str
    bound: float
    point: float | None
    lower: float | None
    upper: float | None
    provenance: str
    verdict: Verdict
    samples: int = 0
    samples_needed: int = 0
    advice: str = ""

    @property
    def margin(self) -> float | None:
        """How far the point lies from the bound, as a share of it; negative when it is exceeded."""
        if self.point is None or self.bound == 0:
            return None
        over = (self.point - self.bound) / self.bound
        return over if self.is_floor else -over

    @property
    def is_floor(self) -> bool:
        """Whether more is better."""
        return more_is_better(self.limit)

    @property
    def excess(self) -> str:
        """By how much a limit is missed: 'p95 latency 131 ms, 31.0 ms over 100 ms'; empty unless it is."""
        beyond = 0.0 if self.point is None else self.bound - self.point if self.is_floor else self.point - self.bound
        if self.verdict is not Verdict.FAIL or self.point is None or beyond <= 0:
            return ""
        side = "short of" if self.is_floor else "over"
        name = re.sub(r"(\w+)_(p\d+)\Z", r"\2 \1", self.metric).replace("_", " ")
        by = f"{beyond * 100:.1f} points" if self.dimension == "ratio" else self._amount(beyond)
        return f"{name} {self._amount(self.point)}, {by} {side} {self._amount(self.bound)}"

    def _amount(self, value: float) -> str:
        return units.show(value, self.dimension) if self.dimension else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one shipped file."""

    artifact: str
    measurements: tuple[Measurement, ...]
    scores: Scores
    references: Mapping[str, Scores]  # 'teacher' and 'student_float', on the same items


ADVICE = {
    "latency": "use a narrower student ([student] options), prune more (macs_kept), or a smaller input",
    "sustained_latency": "use a smaller model, or run it less often: what runs without a pause gets hot, and slower",
    "loaded_latency": "use a smaller model: other work takes its share of cores and caches",
    "load_time": "use a narrower student: loading takes as long as the file is large",
    "first_inference": "use a narrower student, or run the model once before it is needed",
    "peak_memory": "use a narrower student or a smaller input: weights and activations decide",
    "size": "use a narrower student, or prune more (macs_kept)",
    "energy": "lower the latency: energy is power times time",
    "quality": "train for more epochs, prune less (macs_kept), or use a wider student",
}


UNMEASURED = {  # what a build measures only where it is asked to
    "sustained_latency": "not measured, or never steady: build with --sustained, for a device that is measured",
    "loaded_latency": "not measured: build with --load N, for a device that is measured",
}


@dataclass(frozen=True, slots=True)
class _Observed:
    """What one limit met with."""

    verdict: Verdict
    interval: Interval | None = None
    provenance: str = "none"
    samples: int = 0
    needed: int = 0
    advice: str = ""


def judge(limits: tuple[Limit, ...], evidence: Evidence, judged: frozenset[Provenance]) -> Iterator[Check]:
    """Hold each limit against ``evidence``; a measurement whose provenance isn't in ``judged`` counts as none."""
    for limit in limits:
        quality = limit.metric == "quality"
        observed = _quality(limit, evidence) if quality else _measured(limit, evidence, judged)
        yield _check(limit, evidence.artifact, observed)


def more_is_better(limit: str) -> bool:
    """Whether a limit, as it is printed, is a floor."""
    return ">=" in limit or "> " in limit


def undecided(limit: Limit, artifact: str, advice: str) -> Check:
    """The check where there is nothing to hold ``limit`` against; ``advice`` says why."""
    return _check(limit, artifact, _Observed(Verdict.INCONCLUSIVE, advice=advice))


def worst(verdicts: Iterable[str]) -> Verdict:
    """Any fail: fail; else any inconclusive: inconclusive; else pass."""
    found = set(verdicts)
    return next((each for each in (Verdict.FAIL, Verdict.INCONCLUSIVE) if each in found), Verdict.PASS)


def decide(limit: Limit, lower: float | None, upper: float | None) -> Verdict:
    """Pass if the whole interval meets the limit, fail if none of it does, else inconclusive.

    An end that isn't known (None) can't be relied on.
    """
    floor = limit.operator.startswith(">")
    bad, good = (lower, upper) if floor else (upper, lower)  # the unfavourable and the favourable end
    if bad is not None and _meets(bad, limit):
        return Verdict.PASS
    if good is not None and not _meets(good, limit):
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def _meets(value: float, limit: Limit) -> bool:
    return {
        "<": value < limit.value,
        "<=": value <= limit.value,
        ">": value > limit.value,
        ">=": value >= limit.value,
    }[limit.operator]


def _quality(limit: Limit, evidence: Evidence) -> _Observed:
    reference = evidence.references.get(limit.relative_to or "")
    if limit.relative_to and reference is None:
        return _Observed(Verdict.INCONCLUSIVE, advice=f"there is no {limit.relative_to} to compare with")
    interval = _share(evidence.scores, reference, limit.value)
    verdict = decide(limit, interval.lower, interval.upper)
    advice = {
        Verdict.PASS: "",
        Verdict.FAIL: ADVICE["quality"],
        Verdict.INCONCLUSIVE: "needs more test images, or a better student",
    }[verdict]
    return _Observed(verdict, interval, Provenance.ON_HOST, len(evidence.scores), advice=advice)


def _share(scores: Scores, reference: Scores | None, ratio: float) -> Interval:
    """The mean score, or its ratio to the reference's, bounded by one-sided 95 % bounds.

    The ratio's bounds come from d = student - ratio * reference, so that the verdict is that of d.
    """
    if reference is None:
        point, lower, upper = paired_floor(scores, np.zeros_like(scores), 0.0)
        return Interval(point, max(lower, 0.0), min(upper, 1.0))
    base = float(reference.mean()) or 1.0
    return Interval(*(ratio + bound / base for bound in paired_floor(scores, reference, ratio)))


def _measured(limit: Limit, evidence: Evidence, judged: frozenset[Provenance]) -> _Observed:
    metric, percent = limit.base, limit.percent
    found = [m for m in evidence.measurements if m.metric == metric and (m.provenance in judged or metric == "size")]
    for measurement in found:
        interval = measurement.predicted.get(f"p{percent:g}" if percent else "value")
        if interval is not None:
            return _predicted(limit, interval)
        if measurement.values:
            return _percentile(limit, measurement, percent) if percent else _single(limit, measurement)
        if percent and measurement.unavailable:  # it ran there, without single runs: a prediction would be of less
            return _Observed(Verdict.INCONCLUSIVE, advice=measurement.unavailable)
    reasons = [m.unavailable for m in found if m.unavailable]
    reasons.append(UNMEASURED.get(metric, f"no evidence that is {' or '.join(sorted(judged))}"))
    return _Observed(Verdict.INCONCLUSIVE, advice=reasons[0])


def _predicted(limit: Limit, interval: Interval) -> _Observed:
    verdict = decide(limit, interval.lower, interval.upper)
    advice = _advice(limit, verdict)
    if verdict is Verdict.INCONCLUSIVE:
        advice = "the prediction straddles the limit: measure on the device"
    return _Observed(verdict, interval, Provenance.PREDICTED, advice=advice)


def _single(limit: Limit, measurement: Measurement) -> _Observed:
    value = measurement.values[0]
    verdict = decide(limit, value, value)
    advice = _advice(limit, verdict)
    return _Observed(verdict, Interval(value, value, value), measurement.provenance, 1, 1, advice)


def _percentile(limit: Limit, measurement: Measurement, percent: float) -> _Observed:
    values = measurement.values
    effective = effective_sample_size(values, percent)
    bounds = percentile_bounds(values, percent, effective)
    verdict = decide(limit, bounds.lower, bounds.upper)
    wide = wandering_bounds(values, percent) if None in (bounds.lower, bounds.upper) else None
    if verdict is Verdict.INCONCLUSIVE and wide is not None:
        decided = decide(limit, wide[0].lower, wide[0].upper)
        if decided is not verdict:
            verdict, (bounds, effective) = decided, wide
    advice = _advice(limit, verdict)
    if verdict is Verdict.INCONCLUSIVE:
        advice = f"needs {max(bounds.needed - int(effective), 1):,} more independent samples, or a faster model"
    steady = stability(values)
    if not steady.stable and not _one_side(values, limit):
        verdict, advice = Verdict.INCONCLUSIVE, "unstable: " + "; ".join(steady.reasons)
    interval = Interval(
        bounds.point,
        -math.inf if bounds.lower is None else bounds.lower,
        math.inf if bounds.upper is None else bounds.upper,
    )
    return _Observed(verdict, interval, measurement.provenance, int(effective), bounds.needed, advice)


def _one_side(values: tuple[float, ...], limit: Limit) -> bool:
    """Whether even the extremes agree about the limit: then no drift or spread can change the verdict."""
    return _meets(min(values), limit) == _meets(max(values), limit)


def _advice(limit: Limit, verdict: Verdict) -> str:
    return ADVICE[limit.base] if verdict is Verdict.FAIL else ""


def _check(limit: Limit, artifact: str, observed: _Observed) -> Check:
    interval = observed.interval
    return Check(
        artifact=artifact,
        metric=limit.metric,
        limit=limit.text,
        origin=limit.origin,
        dimension=limit.dimension,
        bound=limit.value,
        point=interval.point if interval else None,
        lower=_known(interval.lower) if interval else None,
        upper=_known(interval.upper) if interval else None,
        provenance=str(observed.provenance),
        verdict=observed.verdict,
        samples=observed.samples,
        samples_needed=observed.needed,
        advice=observed.advice,
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
