"""A report with something in every section of its page, and a run folder for it; every text in it is hostile."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from reports import REPORT

from edgekd.profile import saved
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.report import details, folder
from edgekd.report.details import Details, ExampleRow, OperatorCount, OperatorRow
from edgekd.report.model import (
    ArtifactRow,
    CandidateRow,
    CheckRow,
    ClassRow,
    DifferenceRow,
    EfficiencyRow,
    FigureRow,
    MeasurementRow,
    ParityRow,
    QualityRow,
    Report,
    ShiftRow,
    StepRow,
)

ATTACK = """"'><script>alert(1)</script><img src=x onerror=alert(2)>]]> $x^{2$ {{ 7*7 }} \x07 靴"""
PERCENTS = ("p50", "p90", "p95", "p99")
INT8 = ("onnx_int8", "tflite_int8")
PLACES = ("on_host", "predicted")


def artifact(kind: str, size_bytes: int, **facts: object) -> ArtifactRow:
    return ArtifactRow(kind, f"made/{kind}", "0" * 64, size_bytes, 1000, 10, facts)


def latency(name: str, p50: float, provenance: str = "on_host", **more: object) -> MeasurementRow:
    percentiles = {each: p50 * factor for each, factor in zip(PERCENTS, (1, 1.1, 1.2, 1.5), strict=True)}
    bounds = {"point": p50, "lower": p50 / 5, "upper": p50 * 5} if provenance == "predicted" else {}
    whole = dict.fromkeys(("point", "lower", "upper"))
    told = {each: {"point": value, "lower": value / 5, "upper": value * 5} for each, value in percentiles.items()}
    return MeasurementRow(
        artifact=name,
        metric="latency",
        unit="s",
        provenance=provenance,
        n=0 if bounds else 400,
        warmups=10,
        intervals=told if bounds else {},
        unavailable="",
        conditions={"cpu": ATTACK, "threads": "1"},
        **{**percentiles, **whole, **bounds, **more},  # type: ignore[arg-type]
    )


def single(name: str, metric: str, unit: str, value: float | None, unavailable: str = "") -> MeasurementRow:
    row = replace(latency(name, value or 0.0), metric=metric, unit=unit, n=1 if value else 0, unavailable=unavailable)
    return row if value else replace(row, p50=None, p90=None, p95=None, p99=None)


def measurements() -> tuple[MeasurementRow, ...]:
    names = [f"{prefix}_{form}" for prefix in ("onnx", "tflite") for form in ("unpruned", "float", "int8")]
    names += ["teacher_onnx", "teacher_tflite"]
    rows = [latency(name, 0.001 * number, place) for number, name in enumerate(names, 1) for place in PLACES]
    more = [single(name, "peak_memory", "B", 4e7) for name in INT8]
    return (*rows, *more, *(single(name, "energy", "J", None, ATTACK) for name in INT8))


SIZES = {"unpruned": 400_000, "float": 300_000, "int8": 90_000}
CURVE = {"selection_quality": [0.5, 0.8, 0.9], "epoch_losses": [1.0, 0.4, 0.2]}
FULL: Report = replace(
    REPORT,
    steps=(StepRow("distill", False, 3.0), StepRow("prune", True, 0.1)),
    checks=(
        *REPORT.checks,
        CheckRow(ATTACK, ATTACK, ATTACK, ATTACK, 0.9, None, 1.0, "", ATTACK, "fail", None, 1, 1, ATTACK, 0.5),
    ),
    artifacts=(
        artifact("student_float", 5000, **CURVE),
        artifact(ATTACK, 5000, **CURVE),
        *(artifact(f"{form}_{stage}", size) for form in ("onnx", "tflite") for stage, size in SIZES.items()),
        *(artifact(f"teacher_{form}", 2_000_000) for form in ("onnx", "tflite")),
    ),
    quality={
        **{f"{form}_{stage}": QualityRow(0.92, 0.91, 0.93, 2000) for form in ("onnx", "tflite") for stage in SIZES},
        "teacher": QualityRow(0.94, 0.93, 0.95, 2000),
        "student_unpruned": QualityRow(0.9, 0.89, 0.91, 2000),
        ATTACK: QualityRow(0.5, 0.4, 0.6, 2000),
    },
    differences=(DifferenceRow("onnx_int8", "teacher", -0.02, -0.03, -0.01, 2000),),
    figures=(FigureRow("onnx_int8", ATTACK, 0.01),),
    class_changes=(
        ClassRow("onnx_int8", ATTACK, 200, 0.9, 0.8, 0.03, True),
        ClassRow("onnx_int8", "b", 0, None, None, 1, False),
    ),
    shifts=(ShiftRow(ATTACK, "noise", 0.1, 0.7, 0.6, 0.8, 200),),
    candidates=tuple(CandidateRow(name, ATTACK, 0.01, 0.0, 0.02, 0.999, 1e-4, True) for name in INT8),
    parity=(ParityRow("onnx_float", ATTACK, "cosine", 0.999, 0.98, "pass"),),
    measurements=measurements(),
    calibration={"samples": 300, "held_out": 500},
    notes=(ATTACK,),
    efficiency=(EfficiencyRow(ATTACK, ATTACK, 0.9, 0.8, 1.0, ATTACK),),
)


def png() -> str:
    out = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(out, "png")
    return b64encode(out.getvalue()).decode()


def extras() -> Details:
    return Details(
        command=f"edgekd build {ATTACK}",
        share_of="the predicted time",
        operators=tuple(OperatorRow(name, ATTACK, "Conv", 500, 9, True, 0.6) for name in INT8),
        counts=tuple(OperatorCount(name, 7, 0.98) for name in INT8),
        differing={"onnx_int8": 2},
        examples=(
            ExampleRow(3, "image", png(), ATTACK, ATTACK, {"onnx_int8": ATTACK}),
            ExampleRow(4, "text", ATTACK, "", "yes", {"onnx_int8": "no"}),
        ),
    )


def furnish(root: Path, report: Report = FULL) -> Path:
    """A run folder of ``report`` with raw latencies and details."""
    run = folder.write(report, {}, root)
    details.write(extras(), run)
    (run / "measurements").mkdir()
    values = tuple(0.001 + 0.00001 * (number * 37 % 101) for number in range(400))
    for name in INT8:
        whole = Measurement(artifact=name, metric="latency", unit="s", provenance=Provenance.ON_HOST, values=values)
        saved.save((whole,), run / "measurements" / f"{name}.npz")
    return run
