"""Reports are read again, also those of earlier versions; others are refused with what was found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reports import REPORT

from edgekd.errors import BadInputError
from edgekd.report import folder, reading
from edgekd.report.model import FORMAT_VERSION

OLD = Path(__file__).parent / "old"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    run = folder.write(REPORT, {}, tmp_path)
    assert reading.read(run) == reading.read(run / "report.json") == REPORT


@pytest.mark.parametrize("version", [1, 2])
def test_reports_of_earlier_versions_are_read(version: int) -> None:
    found = reading.read(OLD / f"version-{version}.json")
    assert found.format_version == version
    assert found.quality["teacher"].items > 0
    assert found.candidates == ()
    assert found.item == ("item" if version == 1 else "query")


@pytest.mark.parametrize(
    ("limit", "unit", "bound"),
    [
        ("latency_p95 < 100 ms", "s", 0.1),
        ("quality >= 94.0 % of teacher", "ratio", 0.94),
        ("top1 to onnx_float >= 0.95", "", 0.95),
        ("max_abs to x <= 1e-05", "", 1e-5),
        ("as fast as it can be", "s", None),
        ("latency_p95 < 100 ms", "parsec", None),
    ],
)
def test_the_limit_of_an_older_check_is_read_from_its_text(
    tmp_path: Path, limit: str, unit: str, bound: float | None
) -> None:
    found = json.loads(folder.to_json(REPORT))
    found["checks"][0] |= {"limit": limit, "unit": unit}
    del found["checks"][0]["bound"]
    (tmp_path / "report.json").write_text(json.dumps(found))
    assert reading.read(tmp_path).checks[0].bound == bound


def test_a_newer_report_is_refused_with_its_version(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(folder.to_json(replace(REPORT, format_version=FORMAT_VERSION + 1, edgekd_version="9.9")))
    with pytest.raises(BadInputError, match=rf"format {FORMAT_VERSION + 1}, by edgekd 9\.9"):
        reading.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "isn't JSON"),
        ("[]", "no format_version"),
        ('{"format_version": "3"}', "no format_version"),
        ('{"format_version": 3}', "Field required"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=message):
        reading.read(path)


def test_a_changed_report_is_refused_with_the_place(tmp_path: Path) -> None:
    found = json.loads(folder.to_json(REPORT))
    found["checks"][0]["samples"] = "many"
    (tmp_path / "report.json").write_text(json.dumps(found))
    with pytest.raises(BadInputError, match=r"checks\.0\.samples"):
        reading.read(tmp_path)


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="found no report"):
        reading.read(tmp_path)
