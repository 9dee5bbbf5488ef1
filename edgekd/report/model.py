"""Report: what a build found. Its fields, in this order, are report.json.

History of ``format_version``: 1, the first. 2: item, figures, class_changes, shifts; differences have a ratio.
3: candidates have rows of another kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT_VERSION = 3


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
    """The metric over the test items, with its 95 % interval: Wilson's for a share, Student's for other means."""

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
    ratio: float | None = None  # of the first to the second, where the second is the teacher
    ratio_lower: float | None = None  # its paired 95 % interval
    ratio_upper: float | None = None


@dataclass(frozen=True, slots=True)
class FigureRow:
    """Something else that a model's outputs on the test items say; bounds only where there are any."""

    model: str
    figure: str  # R@1, ECE, macro-F1, agreement with the teacher, …
    value: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """What an INT8 file does to one class, beside the teacher."""

    model: str
    name: str
    items: int
    teacher_recall: float | None
    recall: float | None
    p_adjusted: float  # McNemar's exact, after Holm's correction for all classes
    lost: bool  # worse, and significantly so


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """The metric on test items that were made harder; the kind '' is the same items as they are."""

    model: str
    kind: str
    level: float
    value: float
    lower: float
    upper: float
    items: int


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One way to quantize a file, on training rows kept for choosing, timed on this host."""

    artifact: str
    name: str
    drop: float  # of the float version's quality, as a share, with 95 % bounds
    drop_lower: float
    drop_upper: float
    cosine: float  # to the float version
    latency_s: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class ParityRow:
    """How far two versions of one model lie apart on the test items; one file on two processors on golden vectors."""

    first: str
    second: str
    metric: str  # max_abs, cosine, top1; drop: the share of the first one's quality that the second loses
    value: float
    limit: float
    verdict: str
    lower: float | None = None  # the paired 95 % interval of a drop
    upper: float | None = None
    provenance: str = "on_host"


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
class EfficiencyRow:
    """Quality divided by what an inference costs, with the weaker provenance of the two."""

    model: str
    metric: str  # quality_per_joule, quality_per_millisecond
    value: float
    lower: float
    upper: float
    provenance: str


@dataclass(frozen=True, slots=True)
class TryRow:
    """Something to try about a limit that is missed, what that would give, and whether the limit would then be met."""

    text: str
    provenance: str
    point: float | None
    lower: float | None
    upper: float | None
    unit: str
    verdict: str


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
    bound: float | None = None  # the limit as a number; of a quality relative to a model, the share
    excess: str = ""  # 'p95 latency 131 ms, 31.0 ms over 100 ms', where it is missed
    tries: tuple[TryRow, ...] = ()  # the most promising first

    @property
    def lead(self) -> str:
        """What is said first: the excess, or the limit."""
        return self.excess or self.limit


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
    item: str  # what one test item is called
    seconds: float
    steps: tuple[StepRow, ...]
    artifacts: tuple[ArtifactRow, ...]
    quality: Mapping[str, QualityRow]
    differences: tuple[DifferenceRow, ...]
    figures: tuple[FigureRow, ...]
    class_changes: tuple[ClassRow, ...]
    shifts: tuple[ShiftRow, ...]
    candidates: tuple[CandidateRow, ...]
    parity: tuple[ParityRow, ...]
    measurements: tuple[MeasurementRow, ...]
    checks: tuple[CheckRow, ...]
    calibration: Mapping[str, Any]
    notes: tuple[str, ...]
    efficiency: tuple[EfficiencyRow, ...] = ()  # what an older edgekd wrote has none

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from edgekd.report import notebook

        return notebook.html(self)
