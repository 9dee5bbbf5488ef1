"""What the facts of INT8 files become: checks, rows and notes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekd import int8
from edgekd.evidence import Findings


def found(drop: tuple[float, float, float], faster: tuple[float, float, float], *, host: bool = True) -> Findings:
    """One shipped ONNX file, of which this much is lost and which is this many times as fast, each with its bounds."""
    bounds = ("point", "lower", "upper")
    candidate = {"cosine": 0.99, "latency_s": 0.001}
    facts: dict[str, Any] = {
        "method": "mse",
        "candidates": {
            "min-max": {**candidate, "drop": dict(zip(bounds, (0.5, 0.4, 0.6), strict=True))},
            "mse": {**candidate, "drop": dict(zip(bounds, drop, strict=True))},
        },
        "max_drop": 0.01,
        "held_out": 500,
        "mode": "static",
        "left_float": ["ReduceMean"],
        "unstable": {"conv_1": 0.34},
        "faster": {**dict(zip(bounds, faster, strict=True)), "isa": "x86-vnni"},
        "isa": "x86-vnni" if host else "arm64",
    }
    step = SimpleNamespace(use="quantize", line=38)
    plan = SimpleNamespace(
        device=SimpleNamespace(is_host=host), pipeline=SimpleNamespace(path=Path("mine.toml"), stages=(step,))
    )
    file = SimpleNamespace(facts=facts, kind="onnx")
    return cast("Findings", SimpleNamespace(shipped=("onnx_int8",), files={"onnx_int8": file}, plan=plan))


FAST, FINE = (2.0, 1.9, 2.1), (0.002, -0.001, 0.004)


@pytest.mark.parametrize(
    ("drop", "verdict"),
    [
        (FINE, "pass"),
        ((0.01, 0.004, 0.02), "pass"),  # the point decides
        ((0.016, 0.005, 0.03), "inconclusive"),  # one row of sixty
        ((0.05, 0.03, 0.07), "fail"),
    ],
)
def test_a_drop_is_held_against_the_limit(drop: tuple[float, float, float], verdict: str) -> None:
    check = next(int8.checks(found(drop, FAST)))
    assert (check.metric, check.verdict, check.point, check.origin) == ("drop", verdict, drop[0], "mine.toml:38")
    assert check.limit == "drop from onnx_float <= 1.0 %"
    assert bool(check.advice) == (verdict != "pass")


@pytest.mark.parametrize(
    ("faster", "verdict"),
    [
        (FAST, "pass"),
        ((0.5, 0.45, 0.55), "fail"),
        ((1.05, 0.95, 1.1), "inconclusive"),
        ((1.0, 0.0, 9.9), "inconclusive"),
    ],
)
def test_int8_that_is_slower_than_float_fails(faster: tuple[float, float, float], verdict: str) -> None:
    _, check = int8.checks(found(FINE, faster))
    assert (check.metric, check.verdict, check.provenance) == ("speed_up", verdict, "on_host")


def test_the_speed_of_a_file_for_another_machine_is_told_and_not_judged() -> None:
    made = found(FINE, (0.5, 0.4, 0.6), host=False)
    assert [check.metric for check in int8.checks(made)] == ["drop"]
    assert next(int8.notes(made)) == (
        "the INT8 onnx file is made for arm64; made for this host (x86-vnni) it is 2.00x SLOWER than its float version "
        "(median of turns on this host)"
    )


def test_every_candidate_is_a_row_and_one_is_chosen() -> None:
    rows = list(int8.candidate_rows(found(FINE, FAST)))
    assert [(row.name, row.drop, row.drop_upper, row.chosen) for row in rows] == [
        ("min-max", 0.5, 0.6, False),
        ("mse", 0.002, 0.004, True),
    ]


def test_what_stays_in_float_and_what_is_unstable_is_told() -> None:
    assert list(int8.notes(found(FINE, FAST))) == [
        "the INT8 onnx file is 2.00x faster than its float version (median of turns on this host)",
        "the INT8 onnx file keeps operators in float that its quantizer can't do: ReduceMean",
        "the range of conv_1 in the INT8 onnx file differs by 34% between the halves of the calibration set",
    ]


def test_what_each_step_gave_is_told() -> None:
    made = found(FINE, FAST)
    facts = made.files["onnx_int8"].facts
    drop = {"point": 0.001, "lower": 0.0, "upper": 0.002}
    facts["candidates"]["mse, bias corrected"] = {"cosine": 0.995, "latency_s": 0.001, "drop": drop}
    facts["steps"] = {"mse, bias corrected": "mse"}
    facts["equalization"] = {"pairs": 0, "left": {"Clip": ["conv_1", "conv_2"], "Add": ["conv_3"]}}
    facts["fusion"] = {"point": 0.9, "lower": 0.8, "upper": 1.0}
    assert [note.partition(": ")[2] for note in int8.notes(made) if note.startswith("the INT8 onnx file: ")] == [
        "mse, then bias corrected: cosine to float 0.99000 -> 0.99500, drop 0.20% -> 0.10%",
        "with its graph fused for onnxruntime it is 0.90x as fast in INT8, and so it is not",
        "layers that aren't equalized, by what stands behind them: Clip 2, Add 1",
    ]
