"""edgekd check: saved evidence against the run's own limits, other limits, another device."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from workshop import FRAMEWORKS, Built, Ran, imported

from edgekd.limits import METRICS


@pytest.fixture(scope="module")
def run(built: Built) -> Path:
    return built.workshop.folder / built.run_folder


def checks(ran: Ran) -> list[dict[str, Any]]:
    return [row for row in json.loads(ran.out)["checks"] if row["metric"] in METRICS]


def test_nothing_changed_gives_the_same_checks(run: Path, built: Built) -> None:
    ran = built.workshop.run("check", str(run), "--json")
    assert ran.err == ""
    assert (ran.code, json.loads(ran.out)["verdict"]) == (built.report["exit_code"], built.report["verdict"])
    key = lambda row: (row["artifact"], row["limit"])  # noqa: E731
    assert sorted(json.loads(ran.out)["checks"], key=key) == sorted(built.report["checks"], key=key)


@pytest.mark.parametrize("more", [(), ("--device", "raspberrypi4"), ("--limit", "latency_p95<=1s", "--json")])
def test_no_framework_is_imported(more: tuple[str, ...], run: Path, tmp_path: Path) -> None:
    code, found = imported(tmp_path, "check", str(run), *more)
    assert code in (0, 1, 4)
    assert "edgekd.rejudge" in found
    assert FRAMEWORKS.isdisjoint(found)


def test_another_limit_is_judged_on_what_was_measured(run: Path, built: Built) -> None:
    ran = built.workshop.run("check", str(run), "--limit", "size<=1kB", "--json")
    assert ran.code == 1
    sizes = [row for row in checks(ran) if row["metric"] == "size"]
    assert [(row["verdict"], row["origin"]) for row in sizes] == [("fail", "--limit")] * 2
    strict = built.workshop.run("check", str(run), "--limit", "quality>=99.99%", "--json")
    assert {row["verdict"] for row in checks(strict) if row["metric"] == "quality"} <= {"fail", "inconclusive"}


def test_another_device_has_its_own_budget_and_predictions(run: Path, built: Built, tmp_path: Path) -> None:
    ran = built.workshop.run("check", str(run), "--device", "raspberrypi4", "--json")
    found = json.loads(ran.out)
    assert found["device"] == "raspberrypi4"
    assert any("raspberrypi4.toml" in row["origin"] for row in found["checks"])
    mine = {row["artifact"]: row["point"] for row in built.report["checks"] if row["metric"] == "latency_p95"}
    assert all(row["point"] > mine[row["artifact"]] for row in checks(ran) if row["metric"] == "latency_p95")
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/model.onnx").unlink()
    gone = checks(built.workshop.run("check", str(tmp_path / "run"), "--device", "raspberrypi4", "--json"))
    advice = [row["advice"] for row in gone if (row["artifact"], row["metric"]) == ("onnx_int8", "latency_p95")]
    assert advice == ["model.onnx isn't beside the report: nothing can be predicted for raspberrypi4"]


def test_a_report_alone_keeps_what_it_can(run: Path, built: Built, tmp_path: Path) -> None:
    shutil.copy(run / "report.json", tmp_path)
    same = built.workshop.run("check", str(tmp_path / "report.json"), "--json")
    assert same.code == built.report["exit_code"]
    other = built.workshop.run("check", str(tmp_path / "report.json"), "--limit", "quality>=60%", "--json")
    advice = {row["advice"] for row in checks(other) if row["metric"] == "quality"}
    assert advice == {"made/scores.npz isn't beside the report"}


def test_it_prints_checks_and_verdict(run: Path, built: Built) -> None:
    ran = built.workshop.run("check", str(run), "--limit", "size<=1kB")
    assert "size <= 1.00 kB" in ran.out
    assert ran.out.splitlines()[-1].startswith("FAIL: tiny on pixel8: ")


def test_a_limit_that_cant_be_read_is_refused(run: Path, built: Built) -> None:
    ran = built.workshop.run("check", str(run), "--limit", "fast")
    assert (ran.code, "--limit: found 'fast'" in ran.err) == (2, True)
