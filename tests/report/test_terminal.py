from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from edgekd.report import terminal
from edgekd.report.model import CandidateRow, CheckRow, DifferenceRow, FigureRow, QualityRow, Report, ShiftRow, TryRow

CHECK = CheckRow(
    artifact="onnx_int8",
    metric="latency_p95",
    limit="latency_p95 < 100 ms",
    origin="devices/pixel8.toml:47",
    point=0.000235,
    lower=0.00000955,
    upper=0.00412,
    unit="s",
    provenance="predicted",
    verdict="pass",
    margin=0.99,
    samples=0,
    samples_needed=0,
    advice="",
)
REPORT = Report(
    format_version=1,
    edgekd_version="0.1.0",
    verdict="pass",
    exit_code=0,
    pipeline="default",
    device="pixel8",
    data="Fashion-MNIST subset",
    metric="top-1 accuracy",
    item="image",
    seconds=1.0,
    steps=(),
    artifacts=(),
    quality={"teacher": QualityRow(0.9425, 0.9314, 0.9519, 2000), "onnx_int8": QualityRow(0.917, 0.904, 0.9283, 2000)},
    differences=(DifferenceRow("onnx_int8", "teacher", -0.0255, -0.0358, -0.0157, 2000),),
    figures=(),
    class_changes=(),
    shifts=(),
    candidates=(
        CandidateRow("onnx_int8", "min-max", 0.0051, 0.001, 0.009, 0.99871, 0.000105, chosen=False),
        CandidateRow("onnx_int8", "percentile", -0.002, -0.006, 0.002, 0.99932, 0.000103, chosen=True),
    ),
    parity=(),
    measurements=(),
    checks=(CHECK,),
    calibration={},
    notes=("the INT8 onnx file is 8.68x faster than the float teacher (median on this host)",),
)


def printed(report: Report, run: Path) -> str:
    out = io.StringIO()
    terminal.show(report, run, Console(file=out, width=80, highlight=False))
    return out.getvalue()


def test_a_report_that_passes_reads_like_this(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    assert (
        printed(REPORT, tmp_path)
        == f"""\
top-1 accuracy on 2,000 test images of the Fashion-MNIST subset, 95 % interval
  teacher             94.25%  (93.14%..95.19%)
  onnx_int8           91.70%  (90.40%..92.83%)  97.3% of the teacher's
  onnx_int8 - teacher: -2.55 points (-3.58..-1.57, paired)
INT8 candidates, on training rows kept for choosing
  onnx_int8
    min-max            drop   0.51%  cosine 0.99871  105 µs
  * percentile         drop  -0.20%  cosine 0.99932  103 µs
checks against the budget of pixel8
  onnx_int8
    latency_p95 < 100 ms           235 µs 9.55 µs..4.12 ms  predicted pass
note: the INT8 onnx file is 8.68x faster than the float teacher (median on this host)
PASS: default on pixel8: all 1 checks are met (exit code 0)
{tmp_path}/model.onnx
"""
    )


def test_a_check_that_fails_says_by_how_much_where_the_limit_stands_and_what_to_try(tmp_path: Path) -> None:
    narrower = TryRow("a [student] of 0.5 of its width", "predicted", 0.082, 0.074, 0.092, "s", "pass")
    lighter = TryRow("shipping tflite_int8 instead", "on_host", 0.11, 0.11, 0.11, "s", "fail")
    failed = replace(
        CHECK,
        verdict="fail",
        advice="use a narrower student",
        excess="p95 latency 131 ms, 31.0 ms over 100 ms",
        tries=(narrower, lighter),
    )
    text = printed(replace(REPORT, verdict="fail", exit_code=1, checks=(failed,)), tmp_path)
    assert (
        "fail: onnx_int8: p95 latency 131 ms, 31.0 ms over 100 ms (devices/pixel8.toml:47)\n"
        "  try a [student] of 0.5 of its width: 82.0 ms (74.0 ms..92.0 ms), predicted, meets the limit\n"
        "  try shipping tflite_int8 instead: 110 ms, measured on this host, is not enough alone\n"
        "  in general: use a narrower student\n" in text
    )
    assert text.endswith("FAIL: default on pixel8: 1 of 1 checks failed (exit code 1)\n")


def test_the_longest_row_of_a_check_fits_80_columns(tmp_path: Path) -> None:
    longest = replace(CHECK, limit="quality >= 94.0 % of teacher", unit="ratio", point=0.972, lower=0.963, upper=0.981)
    text = printed(replace(REPORT, checks=(longest, replace(CHECK, provenance="on_device"))), tmp_path)
    rows = [line for line in text.splitlines() if line.startswith("    ") and line.endswith("pass")]
    assert len(rows) == 2
    assert all(len(row) <= 80 and row == row.rstrip() for row in rows)


def test_a_value_that_is_not_known_is_a_question_mark(tmp_path: Path) -> None:
    unknown = replace(CHECK, point=None, lower=None, upper=None, provenance="none", verdict="inconclusive")
    text = printed(replace(REPORT, verdict="inconclusive", exit_code=4, checks=(unknown,)), tmp_path)
    assert "    latency_p95 < 100 ms                ?                   none      inconclusive\n" in text
    assert "INCONCLUSIVE: default on pixel8: 1 of 1 checks can't be decided (exit code 4)\n" in text


def test_markup_in_a_name_is_printed_as_it_is(tmp_path: Path) -> None:
    assert "note: [bold]x[/bold]\n" in printed(replace(REPORT, notes=("[bold]x[/bold]",)), tmp_path)


def test_the_proof_shows_teacher_and_shipped_files_and_the_hardest_level_of_each_shift(tmp_path: Path) -> None:
    figures = tuple(FigureRow(name, "ECE", value) for name, value in (("teacher", 0.0123), ("student_start", 0.5)))
    doses = {
        ("", 0.0): (0.9, 0.8),
        ("noise", 8.0): (0.7, 0.6),
        ("noise", 24.0): (0.5, 0.3),
        ("blur", 1.0): (0.85, 0.75),
    }
    shifts = tuple(
        ShiftRow(name, kind, level, value, 0.0, 1.0, 300)
        for place, name in enumerate(("teacher", "onnx_int8"))
        for (kind, level), value in ((dose, values[place]) for dose, values in doses.items())
    )
    lines = printed(replace(REPORT, figures=figures, shifts=shifts), tmp_path).splitlines()
    first = lines.index("besides, on the same items")
    assert lines[first + 1 : first + 6] == [
        "  ECE: teacher 0.0123",
        "under shift, on 300 images",
        "  as they are: teacher 90.0%, onnx_int8 80.0%",
        "  noise 24: teacher 50.0%, onnx_int8 30.0%",
        "  blur 1: teacher 85.0%, onnx_int8 75.0%",
    ]


def test_a_ratio_to_the_teacher_comes_with_its_bounds(tmp_path: Path) -> None:
    row = replace(REPORT.differences[0], ratio=0.973, ratio_lower=0.962, ratio_upper=0.984)
    assert "    97.3% of the teacher's (96.2%..98.4%)\n" in printed(replace(REPORT, differences=(row,)), tmp_path)
