"""Figures of two runs beside each other, and what says that a change is more than chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekd.compare.conditions import different
from edgekd.compare.runs import Run
from edgekd.report.model import MeasurementRow

if TYPE_CHECKING:
    from edgekd.profile.measurement import Measurement

PERCENTS = (50, 90, 95, 99)
SINGLE = ("peak_memory", "energy", "load_time", "first_inference", "mean_latency")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one artifact in both runs; SI units."""

    artifact: str
    metric: str  # latency_p95, size, quality, peak_memory …
    provenance: str
    unit: str
    first: float
    second: float
    certain: bool  # more than chance; a single value has no chance in it that could be told
    how: str  # what that rests on
    lower: float | None = None  # of second - first
    upper: float | None = None

    @property
    def share(self) -> float:
        """The change as a share of the first value; positive: grown."""
        return (self.second - self.first) / self.first if self.first else float(self.second != self.first)

    @property
    def worsening(self) -> float:
        """The same, positive where it got worse: quality falls, everything else grows."""
        return -self.share if self.metric == "quality" else self.share


@dataclass(frozen=True, slots=True)
class Ranks:
    """How often a run of the second is slower than one of the first, over all raw values."""

    artifact: str
    provenance: str
    probability: float
    p: float
    runs: tuple[int, int]
    worth: tuple[int, int]  # independent ones


@dataclass(frozen=True, slots=True)
class Refused:
    """What isn't compared, and why."""

    artifact: str
    metric: str
    provenance: str
    reasons: tuple[str, ...]


Found = Change | Ranks | Refused


def found(first: Run, second: Run) -> Iterator[Found]:
    """Every figure that both runs have."""
    yield from _quality(first, second)
    yield from _sizes(first, second)
    others = {_key(row): row for row in second.report.measurements}
    for row in first.report.measurements:
        if row.metric != "size" and _key(row) in others:
            yield from _measured(row, others[_key(row)], first, second)


def same_items(first: Run, second: Run) -> str:
    """Why the two runs can't be paired item by item; '' where they can."""
    if not (first.scores and second.scores and first.made and second.made):
        return "a run kept no scores of its test items"
    if first.made.data_digest != second.made.data_digest:
        return "the data differ"
    return ""


def _key(row: MeasurementRow) -> tuple[str, str, str]:
    return row.artifact, row.metric, row.provenance


def _quality(first: Run, second: Run) -> Iterator[Found]:
    from edgekd.algorithms.proportions import paired_difference

    if (first.report.metric, first.report.data) != (second.report.metric, second.report.data):
        told = [f"{run.report.metric} on the {run.report.data}" for run in (first, second)]
        yield Refused("", "quality", "on_host", (f"other questions: {told[0]!r} and {told[1]!r}",))
        return
    unpaired = same_items(first, second)
    for name, one in first.report.quality.items():
        other = second.report.quality.get(name)
        if other is None:
            continue
        if not unpaired and name in first.scores and name in second.scores:
            bounds = paired_difference(second.scores[name], first.scores[name])
            sure = not bounds.lower <= 0 <= bounds.upper
            how, ends = f"paired, the same {one.items:,} items", (bounds.lower, bounds.upper)
        else:
            sure = other.lower > one.upper or other.upper < one.lower
            how, ends = f"95 % intervals, not paired: {unpaired}", (other.lower - one.upper, other.upper - one.lower)
        yield Change(name, "quality", "on_host", "ratio", one.value, other.value, sure, how, *ends)


def _sizes(first: Run, second: Run) -> Iterator[Found]:
    others = {row.kind: row for row in second.report.artifacts}
    for row in first.report.artifacts:
        if row.kind in others and row.kind.startswith(("onnx", "tflite")):
            sizes = float(row.size_bytes), float(others[row.kind].size_bytes)
            yield Change(row.kind, "size", "on_host", "B", *sizes, certain=True, how="exact")


def _measured(one: MeasurementRow, other: MeasurementRow, first: Run, second: Run) -> Iterator[Found]:
    reasons = different(one.conditions, other.conditions)
    if reasons:
        yield Refused(one.artifact, one.metric, one.provenance, reasons)
    elif one.intervals or other.intervals:
        yield from _predicted(one, other)
    elif one.metric == "latency" and one.n and other.n:
        yield from _latency(one, other, first, second)
    elif one.metric in SINGLE and one.p50 is not None and other.p50 is not None:
        yield Change(
            one.artifact, one.metric, one.provenance, one.unit, one.p50, other.p50, certain=True, how="one value each"
        )


def _predicted(one: MeasurementRow, other: MeasurementRow) -> Iterator[Found]:
    """The same model of the device, so that points differ by the file alone."""
    for name in one.intervals:
        if name in other.intervals:
            metric = one.metric if name == "value" else f"{one.metric}_{name}"
            points = one.intervals[name]["point"], other.intervals[name]["point"]
            yield Change(
                one.artifact, metric, one.provenance, one.unit, *points, certain=True, how="by the same prediction"
            )


def _latency(one: MeasurementRow, other: MeasurementRow, first: Run, second: Run) -> Iterator[Found]:
    raw = first.latencies.get(one.artifact), second.latencies.get(one.artifact)
    if raw[0] is None or raw[1] is None:
        for percent in PERCENTS:
            values = getattr(one, f"p{percent}"), getattr(other, f"p{percent}")
            how = "no raw values in the run folders, so that chance isn't known"
            yield Change(one.artifact, f"latency_p{percent}", one.provenance, "s", *values, certain=False, how=how)
        return
    yield _ranks(raw[0], raw[1])
    for percent in PERCENTS:
        yield _percentile(raw[0], raw[1], percent)


def _ranks(one: Measurement, other: Measurement) -> Ranks:
    import numpy as np

    from edgekd.algorithms.order_statistics import effective_sample_size
    from edgekd.algorithms.rank_test import rank_test

    worth = effective_sample_size(one.values, 50), effective_sample_size(other.values, 50)
    test = rank_test(np.asarray(one.values), np.asarray(other.values), worth)
    runs = len(one.values), len(other.values)
    return Ranks(one.artifact, one.provenance, test.probability, test.p, runs, (int(worth[0]), int(worth[1])))


def _percentile(one: Measurement, other: Measurement, percent: int) -> Change:
    """Certain where the 99 % bounds are apart and neither session was unstable."""
    from edgekd.algorithms.order_statistics import stability
    from edgekd.algorithms.wander import session_bounds

    bounds = [session_bounds(each.values, percent) for each in (one, other)]
    unstable = [name for name, each in (("first", one), ("second", other)) if not stability(each.values).stable]
    (a_low, a_high), (b_low, b_high) = ((each.lower, each.upper) for each in bounds)
    slower = a_high is not None and b_low is not None and b_low > a_high
    faster = a_low is not None and b_high is not None and b_high < a_low
    how = f"unstable session: the {' and the '.join(unstable)}" if unstable else "99 % bounds"
    points = bounds[0].point, bounds[1].point
    certain = (slower or faster) and not unstable
    return Change(one.artifact, f"latency_p{percent}", one.provenance, "s", *points, certain=certain, how=how)
