"""Report: what a build found. Its fields, in this order, are report.json.

History of ``format_version``: 1, the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step that was taken."""

    name: str
    cached: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """A file of the run folder; ``path`` is relative to the report."""

    kind: str  # teacher_onnx, onnx_float, onnx_int8, …
    path: str
    sha256: str
    size_bytes: int
    macs: int | None  # multiply-accumulates of one inference
    weights: int | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QualityRow:
    """A share of test items that were right, with its 95 % interval (Wilson)."""

    value: float
    lower: float
    upper: float
    items: int


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """How much better the first model is than the second on the same items, with its paired 95 % interval."""

    first: str
    second: str
    difference: float
    lower: float
    upper: float
    items: int


@dataclass(frozen=True, slots=True)
class ParityRow:
    """How far two versions of one model lie apart on the test items."""

    first: str
    second: str
    metric: str  # max_abs, top1, cosine
    value: float
    limit: float
    verdict: str


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """One metric of one artifact, in SI units; percentiles for measured series, an interval for predictions."""

    artifact: str
    metric: str
    unit: str
    provenance: str
    n: int
    warmups: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    point: float | None
    lower: float | None
    upper: float | None
    intervals: Mapping[str, Mapping[str, float]]
    unavailable: str
    conditions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A limit, what was observed, and the verdict."""

    artifact: str
    metric: str
    limit: str
    origin: str
    point: float | None
    lower: float | None
    upper: float | None
    unit: str
    provenance: str
    verdict: str
    margin: float | None
    samples: int
    samples_needed: int
    advice: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a build found."""

    format_version: int
    edgekd_version: str
    verdict: str
    exit_code: int
    pipeline: str
    device: str
    data: str
    metric: str
    seconds: float
    steps: tuple[StepRow, ...]
    artifacts: tuple[ArtifactRow, ...]
    quality: Mapping[str, QualityRow]
    differences: tuple[DifferenceRow, ...]
    parity: tuple[ParityRow, ...]
    measurements: tuple[MeasurementRow, ...]
    checks: tuple[CheckRow, ...]
    calibration: Mapping[str, Any]
    notes: tuple[str, ...]
