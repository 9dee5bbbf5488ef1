"""A small report with one check of each verdict, and texts that would be markup if they weren't escaped."""

from __future__ import annotations

from dataclasses import replace

from edgekd.report.model import FORMAT_VERSION, CheckRow, QualityRow, Report, TryRow


def check(verdict: str, limit: str, advice: str = "") -> CheckRow:
    point = None if verdict == "inconclusive" else 0.131
    return CheckRow(
        artifact="onnx_int8",
        metric="latency_p95",
        limit=limit,
        origin="devices/pixel8.toml:43",
        point=point,
        lower=point,
        upper=None if point is None else 0.14,
        unit="s",
        provenance="predicted",
        verdict=verdict,
        margin=None,
        samples=0,
        samples_needed=0,
        advice=advice,
    )


REPORT = Report(
    format_version=FORMAT_VERSION,
    edgekd_version="0.1.0",
    verdict="fail",
    exit_code=1,
    pipeline="tiny",
    device="pixel8",
    data="bars | <script>alert(1)</script>",
    metric="top-1 accuracy",
    item="image",
    seconds=1.5,
    steps=(),
    artifacts=(),
    quality={"teacher": QualityRow(0.94, 0.93, 0.95, 2000), "onnx_int8": QualityRow(0.92, 0.91, 0.93, 2000)},
    differences=(),
    figures=(),
    class_changes=(),
    shifts=(),
    candidates=(),
    parity=(),
    measurements=(),
    checks=(
        check("pass", "size <= 2.00 MB"),
        replace(
            check("fail", "latency_p95 < 100 ms", "use a narrower student"),
            excess="p95 latency 131 ms, 31.0 ms over 100 ms",
            tries=(TryRow("half the <script>width", "predicted", 0.082, 0.074, 0.092, "s", "pass"),),
        ),
        check("inconclusive", "energy <= 100 mJ", "no power figure"),
    ),
    calibration={},
    notes=("a note with a | and <b>",),
)
