"""Teacher, unpruned, pruned, INT8: what each step gave in quality, latency and size, for each format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgekd.report.model import QualityRow, Report

FORMS = {"ONNX": "onnx", "TFLite": "tflite"}
ORDER = ("on_device", "predicted", "on_host")  # whose latency is shown: the nearest to the device


@dataclass(frozen=True, slots=True)
class Spot:
    """One version of the model in one format."""

    stage: str
    artifact: str
    quality: QualityRow | None
    latency_s: float | None  # the median
    size_bytes: int | None


def provenance(report: Report) -> str:
    """Where the latencies come from: one source for all, or they couldn't be compared; '' where there are none."""
    there = {row.provenance for row in report.measurements if row.metric == "latency" and row.p50 is not None}
    return next((each for each in ORDER if each in there), "")


def chains(report: Report) -> Mapping[str, tuple[Spot, ...]]:
    """By format, the versions of which anything is known."""
    made = {form: tuple(_chain(prefix, report)) for form, prefix in FORMS.items()}
    return {form: chain for form, chain in made.items() if chain}


def _chain(prefix: str, report: Report) -> Iterator[Spot]:
    sizes = {row.kind: row.size_bytes for row in report.artifacts}
    pruned = "pruned" if f"{prefix}_unpruned" in sizes else "student"
    stages = {
        "teacher": (f"teacher_{prefix}", "teacher"),
        "student": (f"{prefix}_unpruned", "student_unpruned"),
        pruned: (f"{prefix}_float", f"{prefix}_float"),
        "INT8": (f"{prefix}_int8", f"{prefix}_int8"),
    }
    for stage, (artifact, model) in stages.items():
        if artifact in sizes:
            yield Spot(stage, artifact, report.quality.get(model), _median_s(artifact, report), sizes[artifact])


def _median_s(artifact: str, report: Report) -> float | None:
    wanted = (artifact, "latency", provenance(report))
    return next((row.p50 for row in report.measurements if (row.artifact, row.metric, row.provenance) == wanted), None)
