"""Measurement: raw values of one metric of one artifact, where they came from and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edgekd.algorithms.order_statistics import percentile


class Provenance(StrEnum):
    """Where a figure comes from."""

    ON_DEVICE = "on_device"
    ON_HOST = "on_host"
    EMULATED = "emulated"
    PREDICTED = "predicted"


@dataclass(frozen=True, slots=True)
class Interval:
    """A point and the bounds between which the true value is believed to be."""

    point: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One metric of one artifact, in SI units.

    A measured one holds its raw ``values`` (warm-ups apart) and everything else is derived from them.
    A predicted one holds no values but a 90 % ``interval`` for each statistic that it predicts
    ('p50', 'p95', … or 'value' where there is just one figure).
    An absent one (a sensor that isn't there) holds neither, and says why in ``unavailable``.
    """

    artifact: str
    metric: str  # latency, load_time, first_inference, peak_memory, energy, size, quality
    unit: str  # s, B, J, ratio
    provenance: Provenance
    values: tuple[float, ...] = ()
    warmups: tuple[float, ...] = ()
    predicted: Mapping[str, Interval] = field(default_factory=dict)
    unavailable: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)

    def percentile(self, percent: float) -> float:
        """The value at ``percent`` by nearest rank: never interpolated, never below the true share."""
        return percentile(self.values, percent)
