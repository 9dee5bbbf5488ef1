"""Efficiency: quality for each joule and each millisecond, where a file has both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgekd.profile.measurement import Provenance
from edgekd.report.model import EfficiencyRow, MeasurementRow, QualityRow

STRONGEST_FIRST = (Provenance.ON_DEVICE, Provenance.ON_HOST, Provenance.EMULATED, Provenance.PREDICTED)
PER = {
    "latency": ("quality_per_millisecond", 1e3),
    "energy": ("quality_per_joule", 1.0),
}  # and its units in one SI unit


def rows(quality: Mapping[str, QualityRow], measurements: Sequence[MeasurementRow]) -> Iterator[EfficiencyRow]:
    """A row for each latency and energy of a model that was scored, the cost being its median or only value.

    Quality is scored on this host, so that a figure is never said to be of the device alone.
    """
    for each in measurements:
        typical = each.p50 if each.point is None else each.point
        if each.metric in PER and each.artifact in quality and typical:
            yield _row(quality[each.artifact], each, typical)


def weaker(one: str, other: str) -> Provenance:
    """Which of two provenances can be relied on less.

    >>> str(weaker("on_device", "on_host"))
    'on_host'
    """
    return max(Provenance(one), Provenance(other), key=STRONGEST_FIRST.index)


def _row(scored: QualityRow, cost: MeasurementRow, typical: float) -> EfficiencyRow:
    """Bounds put the quality's worse end over the cost's worse end, where that has one, and so for the better ends."""
    metric, units = PER[cost.metric]
    dearest, cheapest = cost.upper or typical, cost.lower or typical
    return EfficiencyRow(
        model=cost.artifact,
        metric=metric,
        value=scored.value / (typical * units),
        lower=scored.lower / (dearest * units),
        upper=scored.upper / (cheapest * units),
        provenance=weaker(Provenance.ON_HOST, cost.provenance),
    )
