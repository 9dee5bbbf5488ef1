"""edgekd build on the tiny pipeline: what it prints, writes and exits with."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workshop import PIPELINE, Built, Ran

from edgekd.cli.build import worst_code
from edgekd.report.model import FORMAT_VERSION

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x9b]")
# What issue 2 promises, by name.
FIELDS = {
    "steps": {"name", "cached", "seconds"},
    "artifacts": {"kind", "path", "sha256", "size_bytes"},
    "parity": {"verdict"},
    "measurements": {
        *("artifact", "metric", "unit", "provenance", "n", "p50", "p90", "p95", "p99", "conditions"),
        *("point", "lower", "upper"),
    },
    "checks": {
        *("artifact", "metric", "limit", "point", "lower", "upper", "provenance", "verdict", "advice"),
    },
}
QUALITY = {
    *("teacher", "student_start", "student_unpruned", "student_float"),
    *("onnx_float", "onnx_int8", "tflite_float", "tflite_int8"),
}
FILES = {"teacher_onnx", "teacher_tflite", "onnx_float", "onnx_int8", "tflite_float", "tflite_int8"}


def reports(ran: Ran) -> Any:
    return json.loads(ran.out)


def latency(report: dict[str, Any], artifact: str = "onnx_int8") -> dict[str, Any]:
    (found,) = [c for c in report["checks"] if (c["artifact"], c["metric"]) == (artifact, "latency_p95")]
    return dict(found)


def test_the_first_build_runs_every_step_and_says_so(built: Built) -> None:
    assert built.ran.code == 0
    assert [step["cached"] for step in built.report["steps"]] == [False] * len(built.report["steps"])
    said = [line for line in built.ran.err.splitlines() if re.search(r" \d+\.\d s  ", line)]
    assert len(said) == len(built.report["steps"])
    for line, step in zip(said, built.report["steps"], strict=True):
        assert line.startswith(step["name"] + " ")


def test_the_paths_come_last_and_are_there(built: Built) -> None:
    paths = [Path(line) for line in built.ran.out.splitlines()[-4:]]
    assert [path.name for path in paths] == ["model.onnx", "model.tflite", "bundle.zip", "report.json"]
    assert {path.parent for path in paths} == {built.run_folder}
    assert built.run_folder.parent == Path("out/tiny/pixel8")
    assert all((built.workshop.folder / path).is_file() for path in paths)


def test_the_checks_and_the_verdict_are_printed(built: Built) -> None:
    lines = [line.strip() for line in built.ran.out.splitlines()]
    assert "60 test images of the tiny bars" in lines[0]
    head = lines.index("checks against the budget of pixel8")
    shown = [line for line in lines[head:] if re.search(r" (predicted|on_host) +(pass|fail|inconclusive)$", line)]
    count = len(built.report["checks"])
    assert len(shown) == count
    assert any(re.match(r"latency_p95 < 100 ms +\S+ .s \S+ .s\.\.\S+ .s +predicted +pass", line) for line in shown)
    assert re.fullmatch(rf"PASS: tiny on pixel8: .*\b{count} checks .*\(exit code 0\)", lines[-5])


def test_a_pipe_gets_no_control_characters(built: Built) -> None:
    assert not CONTROL.search(built.ran.out)
    assert not CONTROL.search(built.ran.err)


def test_the_report_has_every_promised_field(built: Built) -> None:
    report = built.report
    assert (report["format_version"], report["verdict"], report["exit_code"]) == (FORMAT_VERSION, "pass", 0)
    assert (report["pipeline"], report["device"]) == ("tiny", "pixel8")
    assert report["seconds"] > 0
    for name, fields in FIELDS.items():
        assert report[name], name
        assert all(fields <= row.keys() for row in report[name]), name
    assert report["quality"].keys() == QUALITY
    assert all({"value", "lower", "upper", "items"} <= row.keys() for row in report["quality"].values())
    assert {row["kind"] for row in report["artifacts"]} >= FILES


def test_confidence_is_held_against_images_out_of_the_domain(built: Built) -> None:
    found = {row["model"]: row["value"] for row in built.report["figures"] if row["figure"] == "AUROC of confidence"}
    assert found.keys() == built.report["quality"].keys()
    assert all(0 < value <= 1 for value in found.values())
    assert found["teacher"] > 0.5, "noise without a bar looks like no class"


def test_every_file_of_the_report_is_there_and_whole(built: Built) -> None:
    folder = built.workshop.folder / built.run_folder
    for row in built.report["artifacts"]:
        content = (folder / row["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert len(content) == row["size_bytes"]


def test_every_metric_is_measured_here_and_predicted_for_the_device(built: Built) -> None:
    for name in FILES:
        rows = [row for row in built.report["measurements"] if row["artifact"] == name]
        here = {row["metric"]: row for row in rows if row["provenance"] == "on_host"}
        there = {row["metric"]: row for row in rows if row["provenance"] == "predicted"}
        assert here.keys() == {"latency", "load_time", "first_inference", "cold_start", "peak_memory", "size", "energy"}
        assert there.keys() == {"latency", "peak_memory", "energy"}
        assert here["latency"]["n"] >= 64
        assert here["latency"]["p50"] <= here["latency"]["p90"] <= here["latency"]["p95"] <= here["latency"]["p99"]
        assert int(here["peak_memory"]["conditions"]["base_memory_bytes"]) > 0
        assert all(row["lower"] <= row["point"] <= row["upper"] for row in there.values())
        assert here["energy"]["n"] == 1 or here["energy"]["unavailable"]


def test_every_int8_file_is_judged_against_every_limit_and_parity_is_too(built: Built) -> None:
    checks = [(row["artifact"], row["metric"]) for row in built.report["checks"]]
    limited = ("peak_memory", "latency_p95", "size", "energy", "quality")
    for name in ("onnx_int8", "tflite_int8"):
        assert {(name, metric) for metric in (*limited, "parity_drop", "parity_top1", "parity_cosine")} <= set(checks)
    assert len([metric for _, metric in checks if metric.startswith("parity_")]) == len(built.report["parity"])
    assert (
        len(set(checks)) == len(checks) - 4
    )  # tflite_float and tflite_int8 are held against two others, by two metrics


def test_the_second_build_finds_everything_in_the_store(built: Built) -> None:
    ran = built.again("--json")
    report = reports(ran)
    assert ran.code == report["exit_code"]
    assert all(step["cached"] for step in report["steps"])
    assert [step["name"] for step in report["steps"]] == [step["name"] for step in built.report["steps"]]
    assert report["checks"] == built.report["checks"]
    assert report["artifacts"] == built.report["artifacts"]


def test_json_is_the_report_of_that_run_and_nothing_else(built: Built) -> None:
    ran = built.again("--json", "-q")
    latest = built.output / "latest" / "report.json"
    assert ran.out == latest.read_text()
    assert ran.err == ""
    assert not CONTROL.search(ran.out)


def test_latest_points_to_the_last_run_and_all_runs_are_kept(built: Built) -> None:
    runs = built.output / "tiny" / "pixel8"
    before = {path.name for path in runs.iterdir()}
    built.again("-q")
    (new,) = {path.name for path in runs.iterdir()} - before
    assert (built.output / "latest").readlink() == Path("tiny", "pixel8", new)
    assert (built.output / "latest" / "model.onnx").is_file()


def test_nothing_half_written_is_left(built: Built) -> None:
    names = [path.name for path in built.output.rglob("*")]
    assert not [name for name in names if name.startswith((".partial", "scratch-", ".latest"))]
    assert not [path for path in (built.output / ".store" / "partial").glob("*") if path.is_dir()]


def test_a_missed_limit_exits_with_1_and_says_by_how_much_and_what_to_try(built: Built) -> None:
    lower_us = min(latency(built.report, name)["lower"] for name in ("onnx_int8", "tflite_int8")) * 1e6
    ran = built.again("--limit", f"latency_p95<={lower_us / 2:.4f}us")
    assert ran.code == 1
    text = " ".join(ran.out.split())
    assert re.search(r"fail: onnx_int8: p95 latency \S+ .s, \S+ .s over \S+ .s \(--limit\) try ", text)
    assert re.search(r"try a \[student\] of \S+ of its width: \S+ .s \(\S+ .s..\S+ .s\), predicted, ", text)
    assert "in general: use a narrower student" in text
    assert re.search(r"FAIL: tiny on pixel8: 2 of \d+ checks failed \(exit code 1\)", text)


def straddling(built: Built) -> str:
    """A limit inside the predicted interval of each file."""
    found = [latency(built.report, name) for name in ("onnx_int8", "tflite_int8")]
    assert max(row["lower"] for row in found) < min(row["upper"] for row in found)
    middle = (max(row["lower"] for row in found) + min(row["upper"] for row in found)) / 2
    return f"latency_p95<={middle * 1e6:.3f}us"


def test_a_prediction_that_straddles_its_limit_exits_with_4(built: Built) -> None:
    ran = built.again("--limit", straddling(built))
    assert ran.code == 4
    assert "the prediction straddles the limit: measure on the device" in " ".join(ran.out.split())
    assert "INCONCLUSIVE: tiny on pixel8: 2 of " in ran.out


def test_what_cannot_be_decided_can_be_allowed_and_the_report_says_so(built: Built) -> None:
    ran = built.again("--limit", straddling(built), "--allow-inconclusive", "--json")
    report = reports(ran)
    assert (ran.code, report["exit_code"], report["verdict"]) == (0, 0, "inconclusive")
    assert any("--allow-inconclusive" in note for note in report["notes"])


def test_a_failed_limit_is_never_allowed(built: Built) -> None:
    assert built.again("--limit", "size<=1kB", "--allow-inconclusive").code == 1


def test_predictions_do_not_count_where_the_device_is_required(built: Built) -> None:
    ran = built.again("--require", "on_device", "--json")
    report = reports(ran)
    assert (ran.code, report["verdict"]) == (4, "inconclusive")
    undecided = {row["metric"] for row in report["checks"] if row["verdict"] == "inconclusive"}
    assert undecided == {"latency_p95", "peak_memory", "energy"}


def test_several_devices_give_a_list_and_the_worst_exit_code(built: Built) -> None:
    devices = Path(__file__).parents[2] / "devices"
    strict = re.sub(r'size = ".*"', 'size = "<= 1 kB"', (devices / "raspberrypi5.toml").read_text())
    (built.workshop.folder / "strict.toml").write_text(strict)
    ran = built.again("--device", "strict.toml", "--json")
    first, second = reports(ran)
    assert (ran.code, first["exit_code"], second["exit_code"]) == (1, 0, 1)
    assert (first["device"], second["device"]) == ("pixel8", "strict")
    made = [step["name"] for step in second["steps"] if not step["cached"]]
    assert made == ["golden"]  # its manifest names the device


@pytest.mark.parametrize(("codes", "worst"), [([0, 4, 1], 1), ([0, 4], 4), ([0, 0], 0), ([4, 1], 1)])
def test_the_worst_exit_code(codes: list[int], worst: int) -> None:
    assert worst_code(codes) == worst


def test_paths_may_have_spaces(built: Built) -> None:
    (built.workshop.folder / "my pipeline.toml").write_text(PIPELINE)
    ran = built.workshop.run("build", "my pipeline.toml", "--device", "pixel8", "--quick", "-o", str(built.output))
    assert " " in str(built.output)
    paths = [Path(line) for line in ran.out.splitlines()[-4:]]
    assert paths[-1].parent.parent == built.output / "my pipeline" / "pixel8"
    assert all(path.is_file() for path in paths)


def test_a_reader_that_goes_away_is_no_bug_and_no_verdict(built: Built) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as if head had already left
    command = [sys.executable, "-m", "edgekd", "build", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out", "-q"]
    for option in ([], ["--json"]):
        ran = subprocess.run(
            [*command, *option],
            cwd=built.workshop.folder,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (141, "")
    os.close(writing)


def test_this_host_is_measured_and_not_predicted(built: Built) -> None:
    options = ("--quick", "--load", "1", "--limit", "loaded_latency_p50<=10s")
    ran = built.workshop.run("build", "tiny.toml", "--device", "host", *options, "-o", "out", "--json")
    report = reports(ran)
    assert ran.code == report["exit_code"]
    assert {row["provenance"] for row in report["measurements"]} == {"on_host"}
    assert latency(report)["provenance"] == "on_host"
    assert latency(report)["samples_needed"] == 90
    loaded = [row["artifact"] for row in report["measurements"] if row["metric"] == "loaded_latency"]
    assert loaded == ["onnx_int8", "tflite_int8"]
    assert [row["verdict"] for row in report["checks"] if row["metric"] == "loaded_latency_p50"] == ["pass", "pass"]
    assert any("onnx_int8: beside 1 busy cores, p95 is" in note for note in report["notes"])
    reused = {step["name"] for step in report["steps"] if step["cached"]}
    assert {"teacher", "student_float", "onnx_float", "tflite_float", "profile teacher_onnx"} <= reused


def test_the_control_is_trained_on_labels_alone_and_compared(built: Built) -> None:
    report = reports(built.again("--control", "--json"))
    assert report["quality"].keys() == QUALITY | {"control"}
    (row,) = [row for row in report["differences"] if row["second"] == "control"]
    assert row["first"] == "student_unpruned"
    trained, control = (report["quality"][name]["value"] for name in ("student_unpruned", "control"))
    assert row["difference"] == pytest.approx(trained - control)
    assert row["lower"] < row["difference"] < row["upper"]
    assert row["items"] == 60
    made = [step["name"] for step in report["steps"] if not step["cached"]]
    assert made == ["control", "evaluate control", "shift control"]


def test_without_a_student_the_teacher_itself_is_shipped(built: Built) -> None:
    start, end = PIPELINE.index("[student]"), PIPELINE.index('[[stages]]\nuse = "export"')
    text = (PIPELINE[:start] + PIPELINE[end:]).replace('["onnx", "tflite"]', '["onnx"]')
    name = built.workshop.pipeline("teacher_only", text)
    ran = built.workshop.run("build", name, "--device", "pixel8", "--quick", "-o", "out", "--json")
    report = reports(ran)
    assert ran.code == report["exit_code"] == 0
    assert report["quality"].keys() == {"teacher", "onnx_float", "onnx_int8"}
    assert not {"teacher_outputs", "student_start"} & {step["name"] for step in report["steps"]}
