"""edgekd check: saved evidence against the run's own limits, other limits, another device."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from workshop import FRAMEWORKS, Built, Ran, imported

from edgekd import device
from edgekd.limits import METRICS
from edgekd.runtimes import onnxruntime
from edgekd.targets import predicted
from edgekd.variants import narrowed


@pytest.fixture(scope="module")
def run(built: Built) -> Path:
    return built.workshop.folder / built.run_folder


MISSED = ("--limit", "latency_p95<=1us", "--limit", "size<=1kB", "--limit", "peak_memory<=1kB")


@pytest.fixture(scope="module")
def missed(built: Built) -> Path:
    """The same run, with limits that nothing meets."""
    ran = built.again(*MISSED)
    assert ran.code == 1, ran.err
    return (built.workshop.folder / ran.out.splitlines()[-1]).parent


def all_tries(found: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What is advised, by file and metric."""
    return {(row["artifact"], row["metric"]): row["tries"] for row in found["checks"] if row["tries"]}


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


def test_a_missed_limit_is_told_the_remedies_of_a_build(run: Path, missed: Path, built: Built) -> None:
    wanted = all_tries(json.loads((missed / "report.json").read_text()))
    assert ("onnx_int8", "latency_p95") in wanted
    again = built.workshop.run("check", str(missed), "--json")
    assert all_tries(json.loads(again.out)) == wanted
    told = built.workshop.run("check", str(run), *MISSED, "--json")
    assert (told.code, told.err) == (1, "")
    assert all_tries(json.loads(told.out)) == wanted, "by the run that missed nothing itself"
    text = built.workshop.run("check", str(run), *MISSED).out
    assert "  try a [student] of 0.25 of its width: " in text
    assert "  in general: use a narrower student" in text


def test_of_another_device_what_is_predicted_for_it(run: Path, built: Built) -> None:
    ran = built.workshop.run("check", str(run), "--device", "raspberrypi4", "--limit", "latency_p95<=1us", "--json")
    told = all_tries(json.loads(ran.out))["onnx_int8", "latency_p95"]
    (narrower,) = [row for row in told if "[student]" in row["text"]]
    assert [row["provenance"] for row in told] == ["predicted"] * len(told)
    graph = narrowed(onnxruntime.describe(run / "model.onnx"), 0.25)
    wanted = predicted.predict(graph, device.load("raspberrypi4"), "", 0)[0].predicted["p95"]
    assert (narrower["point"], narrower["lower"], narrower["upper"]) == (wanted.point, wanted.lower, wanted.upper)


def test_on_this_machine_what_was_measured_here(run: Path, built: Built) -> None:
    ran = built.workshop.run("check", str(run), "--device", "host", "--limit", "peak_memory<=1kB", "--json")
    rows = [row for key, each in all_tries(json.loads(ran.out)).items() if key[1] == "peak_memory" for row in each]
    assert {row["provenance"] for row in rows} == {"on_host"}
    assert {row["text"] for row in rows} <= {
        *(f"shipping {form}_int8 instead" for form in ("onnx", "tflite")),
        *(f"shipping {form}_float, the same in float" for form in ("onnx", "tflite")),
    }


def test_nothing_is_advised_that_the_run_folder_no_longer_shows(run: Path, built: Built, tmp_path: Path) -> None:
    def advised(name: str, spoil: Any) -> set[str]:
        copy = Path(shutil.copytree(run, tmp_path / name))
        spoil(copy)
        ran = built.workshop.run("check", str(copy), *MISSED, "--json")
        assert (ran.code, ran.err) == (1, "")
        found = all_tries(json.loads(ran.out)).get(("onnx_int8", "latency_p95"), [])
        return {row["text"] for row in found if row["provenance"] == "predicted" and "shipping" not in row["text"]}

    def slower(copy: Path) -> None:
        """As if the device file had said so all along."""
        path = copy / "made/making.json"
        text = path.read_text()
        assert "2.91 GHz" in text
        path.write_text(text.replace("2.91 GHz", "1.11 GHz"))

    assert advised("whole", lambda _: None)
    assert advised("no file", lambda copy: (copy / "model.onnx").unlink()) == set()
    assert advised("another file", lambda copy: (copy / "model.onnx").write_bytes(b"no model")) == set()
    assert advised("no device", lambda copy: (copy / "made/making.json").unlink()) == set()
    assert advised("another device", slower) == set()
