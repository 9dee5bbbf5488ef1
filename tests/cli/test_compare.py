"""edgekd compare: two runs, of which one was changed as another build would change it; and two bundles."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workshop import Built, Ran

from edgekd import cli
from edgekd.profile import saved

Command = Callable[..., Ran]
LATENCY = "--fail-on-regression", "latency_p95>5%"


@pytest.fixture(scope="module")
def run(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run as if measured on a quiet machine: its times are told by a generator of numbers."""
    target = tmp_path_factory.mktemp("compared") / "before"
    shutil.copytree(built.workshop.folder / built.run_folder, target)
    retime(target, 1.0, seed=1)
    return target


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "after"))


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str | Path) -> Ran:
        code = cli.run(["compare", *map(str, arguments)])
        return Ran(code, *capsys.readouterr())

    return command


def retime(run: Path, factor: float, seed: int, runs: int = 2000) -> None:
    random = np.random.default_rng(seed)
    for path in (run / "measurements").glob("*.npz"):
        kept = saved.load(path)
        values = tuple((random.gamma(100, 1e-6 * factor / 100, runs)).tolist())
        saved.save(tuple(replace(each, values=values) if each.metric == "latency" else each for each in kept), path)


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    report = json.loads((run / "report.json").read_text())
    change(report)
    (run / "report.json").write_text(json.dumps(report))


def edit_making(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = run / "made" / "making.json"
    made = json.loads(path.read_text())
    change(made)
    path.write_text(json.dumps(made))


def test_a_run_beside_itself_differs_in_nothing(compare: Command, run: Path) -> None:
    ran = compare(run, run, *LATENCY, "--fail-on-regression", "size>0%", "--fail-on-regression", "quality > 0 %")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:3] == [
        f"A  {run} (edgekd 0.1.0, pass)",
        f"B  {run} (edgekd 0.1.0, pass)",
        "nothing differs in pipeline, device, data and versions",
    ]
    assert "quality, on_host (paired, the same 60 items)" in lines, lines
    assert re.search(r"^  onnx_int8 +50\.0%  p = 1, on_host, 2,000 and 2,000 runs, worth ", ran.out, re.MULTILINE)
    assert "not compared" not in ran.out
    assert [line for line in lines if line.endswith(": pass: the same")] == lines[lines.index("regressions") + 1 :]


def test_a_slower_file_is_a_regression_and_says_how_much(compare: Command, run: Path, other: Path) -> None:
    retime(other, 1.2, seed=2)
    ran = compare(run, other, *LATENCY)
    assert ran.code == 1
    assert re.search(r"latency_p95 > 5 %: onnx_int8 on_host: fail: (19|20|21)\.\d% worse", ran.out)
    assert re.search(r"latency_p95 > 5 %: onnx_int8 predicted: pass: the same", ran.out)
    assert re.search(r"^  onnx_int8 +\d+\.\d%  p < 0\.0001, on_host", ran.out, re.MULTILINE)
    assert compare(run, other, "--fail-on-regression", "latency_p95>30%").code == 0
    assert compare(other, run, *LATENCY).code == 0, "faster is no regression"


def test_a_slowdown_that_may_be_chance_is_inconclusive(compare: Command, run: Path, other: Path) -> None:
    retime(other, 1.07, seed=4, runs=20)
    ran = compare(run, other, *LATENCY)
    assert ran.code == 4
    assert "% worse, which may be chance (99 % bounds)" in ran.out


def test_other_machines_are_not_compared_and_named(compare: Command, run: Path, other: Path) -> None:
    def move(report: dict[str, Any]) -> None:
        for row in report["measurements"]:
            if row["provenance"] == "on_host":
                row["conditions"] |= {"cpu": "Another CPU", "load_average_1min": "9.99"}

    edit(other, move)
    ran = compare(run, other, "--fail-on-regression", "peak_memory>5%", "--fail-on-regression", "load_time>5%")
    assert ran.code == 4
    lines = ran.out.splitlines()
    start = lines.index("not compared, since the conditions differ") + 1
    assert re.fullmatch(r"  latency, on_host: cpu: '.+' and 'Another CPU'", lines[start])
    assert not any("load_average" in line for line in lines)
    assert "latency_p95, on_host" not in ran.out
    assert "latency_p95, predicted (by the same prediction)" in lines
    assert re.search(r"load_time > 5 %: onnx_int8 on_host: inconclusive: not compared: cpu: ", ran.out)


def test_lost_quality_is_told_item_by_item(compare: Command, run: Path, other: Path) -> None:
    with np.load(run / "made/scores.npz") as file:
        scores = {name: file[name] for name in file.files}
    scores["onnx_int8"] = scores["onnx_int8"] * (np.arange(60) >= 20)
    np.savez(other / "made/scores.npz", **scores)
    value = float(scores["onnx_int8"].mean())
    edit(other, lambda report: report["quality"]["onnx_int8"].update(value=value))
    rule = "--fail-on-regression", "quality>1%"
    ran = compare(run, other, *rule)
    assert ran.code == 1
    assert re.search(r"^  onnx_int8 .* -3\d\.\d\d points \(-[45]\d\.\d\d\.\.-[12]\d\.\d\d\)$", ran.out, re.MULTILINE)
    (other / "made/scores.npz").unlink()
    assert "95 % intervals, not paired: a run kept no scores of its test items" in compare(run, other, *rule).out
    edit_making(other, lambda made: made.update(data_digest="another"))
    (other / "made/scores.npz").write_bytes((run / "made/scores.npz").read_bytes())
    ran = compare(run, other)
    assert "95 % intervals, not paired: the data differ" in ran.out
    assert f"  data: {json.loads((run / 'made/making.json').read_text())['data_digest'][:12]} -> another" in ran.out


def test_what_differs_is_listed(compare: Command, run: Path, other: Path) -> None:
    def change(made: dict[str, Any]) -> None:
        made["pipeline"]["text"] = made["pipeline"]["text"].replace("epochs = 30", "epochs = 40")
        made["pipeline"]["sha256"] = "0" * 64
        next(each for each in made["packages"] if each["name"] == "onnxruntime")["version"] = "9.9"

    edit_making(other, change)
    edit(other, lambda report: report["checks"][0].update(verdict="fail"))
    lines = compare(run, other).out.splitlines()
    start = lines.index("what differs")
    assert lines[start + 1 : start + 4] == [
        "  pipeline file: tiny.toml",
        "    -epochs = 30",
        "    +epochs = 40",
    ]
    assert re.fullmatch(r"  onnxruntime: [\d.]+ -> 9\.9", lines[start + 4])
    end = lines.index("checks that ended otherwise")
    assert lines[end + 1] == "  onnx_int8: peak_memory <= 1.00 GB: pass -> fail"


def test_reports_alone_are_compared_with_less_to_say(compare: Command, run: Path, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        shutil.copy(run / "report.json", tmp_path / name)
    ran = compare(tmp_path / "a.json", tmp_path / "b.json", *LATENCY)
    assert ran.code == 0
    assert "  what made the runs: not told" in ran.out.splitlines()
    assert "latency_p95, on_host (no raw values in the run folders, so that chance isn't known)" in ran.out


def test_runs_whose_model_files_are_gone_are_compared_all_the_same(compare: Command, run: Path, other: Path) -> None:
    whole = compare(run, other)
    for name in ("model.onnx", "model.tflite"):
        (other / name).unlink()
    ran = compare(run, other)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == whole.out


def test_json_has_every_percentile(compare: Command, run: Path, other: Path) -> None:
    retime(other, 1.2, seed=2)
    ran = compare(run, other, "--json", *LATENCY)
    told = json.loads(ran.out)
    assert (ran.code, told["exit_code"], told["runs"]) == (1, 1, [str(run), str(other)])
    measured = {row["metric"] for row in told["figures"] if row["provenance"] == "on_host"}
    assert measured >= {"quality", "size", "latency_p50", "latency_p90", "latency_p95", "latency_p99", "peak_memory"}
    assert {row["state"] for row in told["regressions"]} == {"fail", "pass"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("latency_p95", "--fail-on-regression: found 'latency_p95', expected METRIC, '>' and a share in percent"),
        ("latency_p95>5", "--fail-on-regression: found 'latency_p95>5', expected METRIC"),
        ("latency_p95<5%", "--fail-on-regression: found 'latency_p95<5%', expected METRIC"),
        ("latenzy_p95>5%", "--fail-on-regression: found the metric 'latenzy_p95'"),
    ],
)
def test_a_rule_that_is_none_is_refused(compare: Command, run: Path, rule: str, message: str) -> None:
    ran = compare(run, run, "--fail-on-regression", rule)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {message}")


def test_what_is_no_run_is_refused(compare: Command, run: Path, other: Path, tmp_path: Path) -> None:
    assert "found no report" in compare(run, tmp_path / "nothing").err
    (other / "made/making.json").write_text("{}")
    ran = compare(run, other)
    assert (ran.code, ran.out) == (2, "")
    assert f"{other / 'made/making.json'}: found a damaged file" in ran.err
    (other / "measurements/onnx_int8.npz").write_bytes(b"PK\x03\x04")
    (other / "made/making.json").unlink()
    assert f"{other / 'measurements/onnx_int8.npz'}: found a damaged file" in compare(run, other).err
    ran = compare(run, run / "bundle")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: found a run and a bundle, expected two of one kind")


def test_a_bundle_beside_itself_asks_for_nothing(compare: Command, run: Path) -> None:
    ran = compare(run / "bundle", run / "bundle.zip")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == f"A  {run / 'bundle'} (tiny for pixel8, edgekd 0.1.0, pass)"
    assert ran.out.splitlines()[-1] == (
        "inputs, outputs, labels, tokenizer and ranges are the same: an app can take B in the place of A"
    )


def test_changes_that_an_app_must_follow_are_named_with_what_to_do(compare: Command, run: Path, other: Path) -> None:
    bundle = other / "bundle"
    told = json.loads((bundle / "manifest.json").read_text())
    told["models"] = told["models"][:1]
    model = told["models"][0]
    model["inputs"][0] |= {"dtype": "uint8", "scale": 0.5, "zero_point": 3}
    model["outputs"][0]["name"] = "scores"
    model["minimum"][0]["version"] = "99.0"
    told["preprocessing"]["mean"] = [0.0, 0.0, 0.0]
    (bundle / "manifest.json").write_text(json.dumps(told))
    (bundle / "labels.json").write_text('["row", "diagonal", "column"]')
    ran = compare(run / "bundle", bundle)
    assert (ran.code, ran.err) == (1, "")
    changed = [line for line in ran.out.splitlines() if line.startswith("changed: ")]
    assert [re.sub(r"(model\.\w+: )?(.*?): .*", r"\2", line.removeprefix("changed: ")) for line in changed] == [
        *("image", "image", "image", "logits", "least onnxruntime", "model file", "mean", "labels"),
    ]
    assert "changed: model.onnx: image: dtype: 'float32' -> 'uint8'" in changed
    assert "changed: labels: 3 (1 'column', 2 'diagonal') -> 3 (1 'diagonal', 2 'column')" in changed
    to_do = [line for line in ran.out.splitlines() if line.startswith("to do: ")]
    assert len(to_do) == 6
    assert to_do[0].startswith("to do: feed the inputs by their new names, shapes and types")
    found = json.loads(compare(run / "bundle", bundle, "--json").out)
    assert found["exit_code"] == 1
    assert found["changes"][0]["to_do"].startswith("feed the inputs")


def test_a_bundle_that_lacks_what_it_names_is_refused(compare: Command, run: Path, other: Path) -> None:
    (other / "bundle/labels.json").unlink()
    ran = compare(run / "bundle", other / "bundle")
    assert (ran.code, ran.out) == (2, "")
    assert "labels.json: the manifest names it, and it is not there" in ran.err
    (other / "bundle/manifest.json").write_text("[]")
    assert compare(run / "bundle", other / "bundle").code == 2
    ran = compare(run / "bundle", run / "bundle.zip", *LATENCY)
    assert ran.err.startswith("error: found --fail-on-regression with bundles")


def test_the_commands_of_the_page_have_options_that_exist() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ edgekd compare (.*)$", page, re.MULTILINE)
    assert len(lines) == 3
    command = import_module("edgekd.cli.compare").command
    for line in lines:
        assert command.make_context("compare", shlex.split(line))
