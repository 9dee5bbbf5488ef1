"""The benchmark of quantizing: its command, its tables, and its parts as far as they need no network and no rivals."""

from __future__ import annotations

import re
import sys
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workshop import Ran, run_script

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TURNS = np.linspace(0.99, 1.01, 15)  # of one file: times that vary by a percent


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: import_module(f"quantizing.{name}")


@pytest.fixture
def measured(part: Any) -> Any:
    """Make what would have been measured of a file."""
    making, measuring, subject = part("making"), part("measuring"), part("subject")

    def make(tool: str, hits: int, milliseconds: float, model: str = "student", **more: Any) -> Any:
        made = making.Made(tool, more.get("setting", "auto"), "onnx", Path("none"), claim=more.get("claim"))
        scores = np.arange(1000) < hits
        turns = np.random.default_rng(zlib.crc32(tool.encode())).permutation(TURNS)
        return measuring.Measured(
            model,
            made,
            size_bytes=1_000_000,
            quality=subject.Quality(scores.astype(float), more.get("groups")),
            float_quality=subject.Quality(np.ones(1000), more.get("groups")),
            seconds=1e-3 * milliseconds * turns,
            float_seconds=2e-3 * TURNS,
        )

    return make


def run(folder: Path, *arguments: str) -> Ran:
    return run_script(BENCHMARKS / "quantization.py", folder, *arguments)


def test_help_names_every_model_and_part(tmp_path: Path) -> None:
    ran = run(tmp_path, "--help")
    assert ran.code == 0
    assert "{student,effnet,minilm,minilm-search,ours,rivals,table,pruning,qat}" in ran.out


def test_a_student_that_was_not_trained_is_skipped(tmp_path: Path) -> None:
    ran = run(tmp_path, "--only", "minilm-search", "--only", "ours")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "minilm-search: skipped: the student of minilm-search needs a build's store: --store FOLDER\n"


def test_what_is_costly_is_only_taken_out_of_a_store(part: Any, tmp_path: Path) -> None:
    steps = part("steps")
    whole = steps.planned("default", tmp_path)
    assert next(node.config.samples for node in whole.nodes if node.stage == "calibration") == 300
    with pytest.raises(steps.AbsentError, match="has no 'teacher_outputs' of the pipeline default"):
        steps.made(whole, {"onnx_float"}, tmp_path, costly=("teacher_outputs",))


def test_groups_count_as_one_item_each_in_the_interval(part: Any) -> None:
    """Ten photographs, of which one fails altogether: 100 crops are no 100 items."""
    measuring, subject = part("measuring"), part("subject")
    groups = np.repeat(np.arange(10), 10)
    scores = (groups != 3).astype(float)
    alone, grouped = (measuring.interval(subject.Quality(scores, each)) for each in (None, groups))
    assert alone.point == grouped.point == 0.9
    assert 0.82 < alone.lower < 0.86
    assert grouped.lower == 0.7
    apart = measuring.difference(subject.Quality(scores, groups), subject.Quality(np.ones(100), groups))
    assert apart.point == pytest.approx(-0.1)
    assert apart.lower == pytest.approx(-0.3)  # three of ten such photographs, one-sided 95 %


def test_groups_of_different_sizes_weigh_by_their_items(part: Any) -> None:
    measuring = part("measuring")
    sums = measuring.by_group(np.array([1.0, 1.0, 1.0, 0.0]), np.array([7, 7, 7, 2]))
    assert sums.tolist() == [[0.0, 1.0], [3.0, 3.0]]
    assert measuring.share(sums) == 0.75


def test_single_items_are_compared_as_edgekd_judges_them(part: Any, measured: Any) -> None:
    from edgekd.algorithms.proportions import paired_floor

    first, second = measured("edgekd", 980, 1.0).quality, measured("nncf", 990, 1.0).quality
    assert part("measuring").difference(first, second) == paired_floor(first.scores, second.scores, 1.0)


def found_rows(part: Any, *files: Any) -> dict[str, Any]:
    return {row.name: row for row in part("table").rows(files)}


def test_edgekd_is_held_against_rivals_that_are_no_slower(part: Any, measured: Any) -> None:
    ours = measured("edgekd", 980, 1.0)
    slower, worse = measured("nncf", 1000, 1.2, setting="best"), measured("olive", 975, 0.999, setting="default")
    rows = found_rows(part, ours, slower, worse)
    row = rows["student onnx: quality - best rival's"]
    assert row.met
    assert re.match(r"\+0\.50 \(\+0\.\d\d\.\.\+\d\.\d\d\) points, olive default$", row.found)
    row = found_rows(part, ours, slower, measured("olive", 990, 1.003))["student onnx: quality - best rival's"]
    assert (row.met, row.found[:5]) == (False, "-1.00")
    assert found_rows(part, ours, slower)["student onnx: quality - best rival's"].found == "every rival is slower"


def test_edgekd_is_no_slower_than_rivals_that_lose_little(part: Any, measured: Any) -> None:
    ours, name = measured("edgekd", 998, 1.0), "student onnx: latency / fastest rival's"
    bad, good = measured("nncf", 980, 0.5), measured("olive", 991, 0.9)
    assert found_rows(part, ours, bad)[name].found == "every rival loses over 1%"
    row = found_rows(part, ours, bad, good)[name]
    assert (row.met, row.found[:4], row.found.endswith(", olive auto")) == (False, "1.11", True)
    assert found_rows(part, ours, bad, measured("olive", 991, 1.1))[name].met
    row = found_rows(part, measured("edgekd", 900, 1.0), measured("olive", 991, 1.1))[name]
    assert row.found.endswith(", olive auto, ours loses 10.0%")


def test_the_comparison_counts_with_nncf_and_two_others_alone(part: Any, measured: Any) -> None:
    ours, nncf, olive, torchao = (measured(tool, 990, 1.0) for tool in ("edgekd", "nncf", "olive", "torchao"))
    assert found_rows(part, ours, nncf, olive, torchao)["rivals that ran"].met
    assert not found_rows(part, ours, nncf, olive)["rivals that ran"].met
    assert not found_rows(part, ours, olive, torchao, measured("litert-quantizer", 990, 1.0))["rivals that ran"].met


def test_single_models_have_targets_of_their_own(part: Any, measured: Any) -> None:
    rows = found_rows(part, measured("edgekd", 996, 1.0, model="minilm"))
    assert (rows["minilm onnx: quality"].target, rows["minilm onnx: quality"].met) == (">= 0.997", False)
    assert not rows["minilm onnx: times as fast as float"].met
    rows = found_rows(part, measured("edgekd", 950, 1.0, model="effnet", groups=np.arange(1000) // 8))
    assert (rows["effnet onnx: quality"].met, rows["effnet onnx: times as fast as float"].met) == (True, True)
    assert "student onnx: quality" not in found_rows(part, measured("edgekd", 996, 1.0))


def test_a_slow_file_must_not_be_called_fast(part: Any, measured: Any) -> None:
    from edgekd.profile.measurement import Interval

    name, fast = "student onnx: not slower, or said so", Interval(1.5, 1.4, 1.6)
    assert found_rows(part, measured("edgekd", 990, 1.0, claim=fast))[name].met
    assert not found_rows(part, measured("edgekd", 990, 3.0, claim=fast))[name].met
    assert found_rows(part, measured("edgekd", 990, 3.0, claim=Interval(0.7, 0.6, 0.8)))[name].met


def test_every_file_has_a_line(part: Any, measured: Any) -> None:
    broken = part("making").Made("nncf", "best", "onnx", Path("none"), "ImportError: no such thing")
    head, line, failed = part("table").lines([measured("edgekd", 990, 1.0)], [("student", broken)])
    assert head.split()[:5] == ["model", "format", "tool", "setting", "quality"]
    assert re.match(r"student +onnx +edgekd +auto +0\.9900 \(0\.98\d\d\.\.0\.99\d\d\) +1\.00 % +1\.000 +2\.00 \(", line)
    assert line.endswith(" 1.00")
    assert re.match(r"student +onnx +nncf +best +failed: ImportError: no such thing$", failed)


def test_a_rival_that_fails_leaves_the_last_line_that_it_said(part: Any) -> None:
    environments = part("environments")
    with pytest.raises(environments.FailedError, match=r"^ImportError: no such thing$"):
        environments.call([sys.executable, "-c", "print('hello'); raise ImportError('no such thing')\n"])
    assert environments.last_line("one\ntwo\n\n") == "two"


def test_an_environment_that_is_ready_is_taken(part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments, calls = part("environments"), []
    monkeypatch.setattr(environments, "call", calls.append)
    rival = environments.Rival("olive", "by_olive", ("olive-ai==1",))
    (tmp_path / "olive").mkdir()
    python = environments.ready(rival, tmp_path)
    assert [call[1:4] for call in calls] == [["-m", "venv", "--clear"], ["-m", "pip", "install"]]
    assert environments.ready(rival, tmp_path) == python == tmp_path / "olive" / "bin" / "python"
    assert len(calls) == 2
    environments.ready(environments.Rival("olive", "by_olive", ("olive-ai==2",)), tmp_path)
    assert len(calls) == 4


def test_every_rival_has_a_script(part: Any) -> None:
    environments = part("environments")
    scripts = {path.stem for path in (BENCHMARKS / "quantizing" / "rivals").glob("by_*.py")}
    assert {rival.script for rival in environments.RIVALS} == scripts


def test_scripts_read_their_rows_in_order(part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.npz"
    part("making").write_rows(path, [{"image": np.full((1, 2), number)} for number in range(12)])
    monkeypatch.setattr(sys, "argv", ["by_any", "model.onnx", str(path), "best", "target.onnx"])
    given = part("rivals.given").read()
    assert [int(row["image"][0, 0]) for row in given.rows] == list(range(12))
    assert (given.best, given.is_text, given.target) == (True, False, Path("target.onnx"))
    reader = part("rivals.given").Reader(given.rows)
    assert len(list(iter(reader.get_next, None))) == 12
    assert reader.get_next() is None


def test_files_and_failures_are_found_again(part: Any, tmp_path: Path) -> None:
    making = part("making")
    assert making.all_made("onnx", tmp_path) == []
    for name in ("default.onnx", "best.failed.txt"):
        (tmp_path / "nncf").mkdir(exist_ok=True)
        (tmp_path / "nncf" / name).write_text("out of memory")
    made, failed = making.all_made("onnx", tmp_path)
    assert (made.tool, made.setting, made.error) == ("nncf", "default", "")
    assert (failed.tool, failed.setting, failed.error) == ("nncf", "best", "out of memory")


def test_crops_are_squares_and_each_is_cut_once(part: Any) -> None:
    from PIL import Image

    photographs = part("photographs")
    pixels = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    wide, square = Image.fromarray(pixels), Image.fromarray(pixels[:, :300])
    for photograph, places, count in ((wide, 5, 8), (square, 5, 6), (wide, 9, 12), (square, 9, 10)):
        found = list(photographs.cut(photograph, (1.0, 0.6), places))
        assert [crop.shape for crop in found] == [(224, 224, 3)] * count
        assert len({crop.tobytes() for crop in found}) == count
    again = [[crop.tobytes() for crop in photographs.cut(wide, (1.0, 0.6), 5)] for _ in range(2)]
    assert again[0] == again[1]
    assert set(photographs.PARTS) == set(photographs.SHARES) == set(photographs.PLACES)


def test_agreement_counts_crops_of_which_float_is_sure(part: Any) -> None:
    effnet = part("effnet")
    reference = np.array([[4.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.1, 0.0, 0.0], [3.0, 0.0, 0.0]])
    outputs = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.1, 0.0], [2.0, 0.0, 0.0]])
    assert effnet.confidence(reference).round(2).tolist() == [0.96, 0.99, 0.36, 0.91]
    found = effnet.score(np.array([0, 0, 1, 1]), outputs, reference)
    assert found.scores.tolist() == [1.0, 0.0, 1.0]
    assert found.groups.tolist() == [0, 0, 1]
    assert found.more["all crops"] == 0.5


def test_ours_are_the_files_of_the_stage_and_its_facts(
    part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tinynet
    import torch

    from edgekd.models import loading
    from edgekd.tasks.base import Outputs

    subject, ours, measuring, making = part("subject"), part("ours"), part("measuring"), part("making")
    monkeypatch.setattr(subject, "FORMATS", ("onnx",))
    torch.manual_seed(0)
    weights = loading.save(tinynet.student(), loading.ModelSpec("tinynet:student"), tmp_path / "model.safetensors")
    rows = {"image": np.random.default_rng(0).normal(size=(24, 3, 16, 16)).astype(np.float32)}
    first = {name: values[:1] for name, values in rows.items()}
    files = subject.exported(weights, first, Outputs.LOGITS, tmp_path)
    tiny = subject.Subject(
        name="tiny",
        metric="agreement",
        weights=weights,
        files=files,
        calibration=subject.write_calibration(tmp_path / "calibration.npz", rows, rows, first),
        timed=first,
        rows=lambda: iter([rows]),
        tested="rows-24",
        score=lambda outputs, reference: subject.Quality((outputs.argmax(1) == reference.argmax(1)).astype(float)),
    )
    facts = ours.quantize(tiny, "onnx", tmp_path / "edgekd" / "onnx")
    assert ours.quantize(tiny, "onnx", tmp_path / "edgekd" / "onnx") == facts
    auto, *others = making.all_made("onnx", tmp_path)
    assert (auto.setting, auto.claim.point) == ("auto", facts["faster"]["point"])
    assert {"min-max", "percentile", "entropy", "mse"} <= set(facts["candidates"])
    assert {each.setting for each in others} == set(facts["candidates"]) - {facts["method"]}
    found, *_ = measuring.measured(tiny, "onnx", [auto, *others], turns=9)
    assert found.is_ours
    assert found.quality.scores.mean() > 0.8
    assert found.float_quality.scores.mean() == 1.0
    assert found.seconds.shape == (9,)


@pytest.mark.parametrize(("part_name", "step"), [("pruning", "race"), ("qat", "qat")])
def test_parts_that_train_add_one_thing_to_the_default_pipeline(
    part: Any, tmp_path: Path, part_name: str, step: str
) -> None:
    trained = part("trained")
    change = {"pruning": trained.RACED, "qat": trained.AWARE}[part_name]
    plain, changed = (trained.changed(name, each, tmp_path) for name, each in (("plain", None), (part_name, change)))
    assert step not in [node.stage for node in plain.nodes]
    assert step in [node.stage for node in changed.nodes]


def test_a_rival_wins_the_race_by_what_is_shown_alone(part: Any) -> None:
    trained, subject = part("trained"), part("subject")
    few, more, many = (subject.Quality((np.arange(10_000) < hits).astype(float)) for hits in (9_000, 9_030, 9_200))
    assert trained.is_better(more, few, "small")
    assert not trained.is_better(more, few, "unpruned")  # which may be a point better: it does more work
    assert trained.is_better(many, few, "unpruned")
    assert not trained.is_better(few, few, "small")


def test_outputs_of_torch_are_made_again_for_other_test_rows(part: Any, tmp_path: Path) -> None:
    making, environments = part("making"), part("environments")
    rival = next(each for each in environments.RIVALS if each.form == "torch")
    target = making.target(rival, "default", tmp_path)
    target.parent.mkdir()
    target.touch()
    (target.parent / "rows-images-2000.npz").touch()
    asked = [type("Subject", (), {"tested": f"images-{count}"}) for count in (2000, 10_000)]
    assert [making.is_made(rival, "default", each, tmp_path) for each in asked] == [True, False]
