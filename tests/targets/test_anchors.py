"""Anchors: what was measured on a device makes predictions for it narrower, and nothing else is taken for it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from adders import write_onnx
from predictable import MOBILENET, TINY, device, latency, of
from reports import REPORT

from edgekd.cli import run
from edgekd.errors import EXIT_USAGE
from edgekd.report import folder
from edgekd.report.model import FORMAT_VERSION, ArtifactRow, MeasurementRow
from edgekd.targets import anchors
from edgekd.targets.anchors import Anchor
from edgekd.targets.load import load_of
from edgekd.targets.predicted import PredictedSession, predict


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def anchor(p50_s: float, runtime: str = "tflite", precision: str = "int8", threads: int = 1) -> Anchor:
    return Anchor("mobilenet.tflite", runtime, precision, threads, load_of(MOBILENET), p50_s, "a test")


def test_an_anchor_moves_and_narrows_the_prediction() -> None:
    before = latency(TINY, "pixel8")
    anchors.write(device("pixel8"), (anchor(latency(MOBILENET, "pixel8").point * 2),))
    after = latency(TINY, "pixel8")
    assert after.point > 1.2 * before.point
    assert after.upper / after.lower < before.upper / before.lower
    found = of("latency", predict(TINY, device("pixel8"), "a", 1))
    assert found.conditions["anchors"] == "mobilenet.tflite"


@pytest.mark.parametrize(
    ("runtime", "precision", "threads"), [("onnxruntime", "int8", 1), ("tflite", "float", 1), ("tflite", "int8", 4)]
)
def test_other_runtimes_precisions_and_threads_say_nothing(runtime: str, precision: str, threads: int) -> None:
    before = latency(TINY, "pixel8")
    anchors.write(device("pixel8"), (anchor(1.0, runtime, precision, threads),))
    assert latency(TINY, "pixel8") == before
    said = of("latency", predict(TINY, device("pixel8"), "a", 1)).conditions["anchors"]
    assert said == (
        f"none; not used: mobilenet.tflite ({runtime}, {precision}, threads {threads}; "
        "this is tflite, int8, one thread)"
    )


def test_anchors_are_of_one_device_and_change_the_key_in_the_store() -> None:
    before = PredictedSession(device("pixel8")).identity
    anchors.write(device("pixel8"), (anchor(0.02),))
    assert PredictedSession(device("pixel8")).identity != before
    assert anchors.read(device("pixel6")) == ()


def test_a_file_measured_again_replaces_its_row() -> None:
    for seconds in (0.02, 0.03):
        anchors.write(device("pixel8"), (anchor(seconds),))
    assert [each.p50_s for each in anchors.read(device("pixel8"))] == [0.03]


ROW = MeasurementRow(
    artifact="a.onnx",
    metric="latency",
    unit="s",
    provenance="on_device",
    n=100,
    warmups=16,
    p50=0.01,
    p90=0.011,
    p95=0.012,
    p99=None,
    point=None,
    lower=None,
    upper=None,
    intervals={},
    unavailable="",
    conditions={},
)


def report(tmp_path: Path, name: str = "profile", *, version: object = 1, **changes: Any) -> Path:
    """What profile --json prints."""
    row = replace(ROW, **changes)
    path = tmp_path / f"{name}.json"
    said = {"format_version": version, "device": "pixel8", "plan": {"threads": 1}, "file": row.artifact}
    path.write_text(json.dumps({**said, "measurements": [asdict(row)]}))
    return path


def calibrate(*reports: Path) -> int:
    return run(["devices", "calibrate", "pixel8", *(word for path in reports for word in ("--from", str(path)))])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"provenance": "on_host"}, "found no latency with the provenance 'on_device'"), ({}, "found no file a.onnx")],
)
def test_what_was_not_measured_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], said: str
) -> None:
    assert run(["devices", "calibrate", "pixel8", "--from", str(report(tmp_path, **changes))]) == EXIT_USAGE
    assert said in capsys.readouterr().err


def test_measurements_of_another_device_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "calibrate", "pixel6", "--from", str(report(tmp_path))]) == EXIT_USAGE
    assert "found measurements for 'pixel8', expected those of 'pixel6'" in capsys.readouterr().err


def test_calibrating_from_a_profile_keeps_the_median(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_onnx(tmp_path / "a.onnx", batch=1)
    assert run(["devices", "calibrate", "pixel8", "--from", str(report(tmp_path))]) == 0
    assert "a.onnx: 10.0 ms (onnxruntime, float)" in capsys.readouterr().out
    assert [each.p50_s for each in anchors.read(device("pixel8"))] == [0.01]
    assert run(["devices", "show", "pixel8"]) == 0
    assert "anchors: a.onnx (onnxruntime, float)" in capsys.readouterr().out


def test_a_broken_anchor_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "pixel8.anchors.json").write_text("{}")
    assert run(["devices", "show", "pixel8"]) == EXIT_USAGE
    assert "found no anchors that can be read" in capsys.readouterr().err


def test_several_reports_are_taken_at_once(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        write_onnx(tmp_path / name, batch=1)
    paths = report(tmp_path, "first"), report(tmp_path, "second", artifact="b.onnx", p50=0.02)
    assert calibrate(*paths) == 0
    assert [(each.artifact, each.p50_s) for each in anchors.read(device("pixel8"))] == [
        ("a.onnx", 0.01),
        ("b.onnx", 0.02),
    ]


def test_one_bad_report_of_several_keeps_all_from_being_written(tmp_path: Path) -> None:
    write_onnx(tmp_path / "a.onnx", batch=1)
    assert calibrate(report(tmp_path), report(tmp_path, "second", provenance="on_host")) == EXIT_USAGE
    assert anchors.read(device("pixel8")) == ()


def run_folder(tmp_path: Path, version: int = FORMAT_VERSION) -> Path:
    """A run whose file was measured on the device, as a report of ``version``."""
    write_onnx(tmp_path / "a.onnx", batch=1)
    files = (ArtifactRow("onnx_float", "a.onnx", "0" * 64, 100, 0, 0, {}),)
    made = replace(REPORT, device="pixel8", measurements=(ROW,), artifacts=files, format_version=version)
    (tmp_path / "report.json").write_text(folder.to_json(made))
    return tmp_path


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_the_reports_of_this_version_and_of_older_ones_are_taken(tmp_path: Path, version: int) -> None:
    assert calibrate(run_folder(tmp_path, version)) == 0
    assert [each.p50_s for each in anchors.read(device("pixel8"))] == [0.01]


def test_newer_reports_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate(run_folder(tmp_path, FORMAT_VERSION + 1)) == EXIT_USAGE
    assert f"found a report of the format {FORMAT_VERSION + 1}" in capsys.readouterr().err
    assert calibrate(report(tmp_path, version=2)) == EXIT_USAGE
    assert "found figures of profile in the format 2, expected 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "isn't JSON"), ("[]", "found no format_version"), ('{"device": "pixel8"}', "found no format_version")],
)
def test_what_is_no_report_is_refused(
    tmp_path: Path, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(content)
    assert calibrate(tmp_path / "x.json") == EXIT_USAGE
    assert said in capsys.readouterr().err
