"""The benchmark of distilling: its command, its table, and its parts as far as seconds allow."""

from __future__ import annotations

import json
import re
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import phrases
import pytest
from scipy import stats
from workshop import Ran, run_script

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: import_module(f"distilling.{name}")


def run(folder: Path, *arguments: str) -> Ran:
    return run_script(BENCHMARKS / "distillation.py", folder, *arguments)


def test_help_names_every_part(tmp_path: Path) -> None:
    ran = run(tmp_path, "--help")
    assert ran.code == 0
    assert "{memory,throughput,image-gain,minilm,minilm-trimmed}" in ran.out


def test_memory_at_tiny_sizes(tmp_path: Path) -> None:
    ran = run(tmp_path, "--only", "memory", "--rows", "1100", "1300")
    assert ran.code == 0, ran.err
    *sizes, row = ran.out.splitlines()
    for size, shown in zip(("1,100", "1,300"), sizes, strict=True):
        peaks = [int(peak) for peak in re.findall(r"(\d+) MB", shown)]
        assert f"with {size} rows x 384, float16: reading " in shown
        assert len(peaks) == 3
        assert peaks[-1] > 20  # an optimizer's state of 3 x 7.7 MB stands in it
    assert re.match(r"memory at 1,300 rows - at 1,100 +< 200 MB +\d+ MB +met$", row)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("last", "met"), [(209_000_000, True), (211_000_000, False)])
def test_memory_is_met_below_its_limit_alone(part: Any, last: int, met: bool) -> None:  # noqa: FBT001 (pytest's)
    row = part("memory").compared((10, 1000), (10_000_000, last))
    assert (row.met, row.found) == (met, f"{last // 1_000_000 - 10} MB")


def test_memory_counts_what_is_held(part: Any) -> None:
    memory = part("memory")
    peak = memory.Peak()
    before = memory.anonymous_bytes()
    held = np.ones(40_000_000, np.uint8)
    peak.start("holding")
    wait_for(peak, "holding")
    peak.stop()
    assert 35e6 < peak.seen["holding"] - before < 60e6
    assert held.all()


def wait_for(peak: Any, name: str) -> None:
    for _ in range(1000):
        if name in peak.seen:
            return
        time.sleep(0.01)
    pytest.fail("the sampler saw nothing")


def test_texts_of_the_memory_part_are_all_different(part: Any, tmp_path: Path) -> None:
    from pyarrow import parquet  # type: ignore[import-untyped]

    memory = part("memory")
    memory.write(tmp_path, 12_000)
    texts = parquet.read_table(tmp_path / "train.parquet")["text"].to_pylist()
    assert len(set(texts)) == len(texts) == 12_000
    assert {len(text.split()) for text in texts} == set(range(4, 12))


def test_image_gain_pairs_the_seeds_that_are_kept(
    part: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gains = [0.9, 0.5, 0.7]
    for seed, gain in enumerate(gains):
        found = {"distilled": 0.90 + gain / 100, "control": 0.90}
        (tmp_path / f"seed-{seed}.json").write_text(json.dumps(found))
    (row,) = part("image_gain").rows(tmp_path, range(3))
    lower, upper = stats.t.interval(0.95, 2, np.mean(gains), stats.sem(gains))
    assert row.found == f"+0.70 points ({lower:+.2f}..{upper:+.2f}, 3 seeds)"
    assert row.met
    assert capsys.readouterr().out.count("difference") == 3


@pytest.mark.parametrize("gains", [[0.45, 0.45, 0.45], [2.0, 0.0, 0.0]])
def test_image_gain_is_missed_below_the_target_or_without_a_clear_sign(
    part: Any, tmp_path: Path, gains: list[float]
) -> None:
    for seed, gain in enumerate(gains):
        found = {"distilled": 0.90 + gain / 100, "control": 0.90}
        (tmp_path / f"seed-{seed}.json").write_text(json.dumps(found))
    (row,) = part("image_gain").rows(tmp_path, range(3))
    assert not row.met


def test_only_the_steps_of_both_students_are_taken(part: Any) -> None:
    from edgekd import device, pipeline, planning

    whole = planning.make(pipeline.load("default"), device.load("host"), planning.Options(control=True))
    image_gain = part("image_gain")
    kept = image_gain._needed(whole.nodes, set(image_gain.STUDENTS.values()))
    names = [node.name for node in kept]
    assert names == ["teacher", "teacher_outputs", "student_start", "student_unpruned", "control"]


def test_a_missed_target_is_said(part: Any, capsys: pytest.CaptureFixture[str]) -> None:
    row = part("row")
    row.show([row.at_least("fast", 1.49, 1.5), row.at_least("small", 5.0, 5.0, " (times)")])
    fast, small = capsys.readouterr().out.splitlines()
    assert re.match(r"fast +>= 1\.5 +1\.49 +MISSED$", fast)
    assert re.match(r"small +>= 5 +5\.00 \(times\) +met$", small)


def test_all_three_loops_run_on_a_tiny_encoder(
    part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (phrases.furnish(tmp_path) / "tiny.toml").write_text(phrases.EMBEDDING)
    throughput = part("throughput")
    monkeypatch.setattr(throughput, "NAME", str(tmp_path / "tiny.toml"))
    live, trainer = throughput.rows(batches=6)
    assert (live.name, live.target) == ("throughput: cached / live teacher", ">= 1.5")
    assert (trainer.name, trainer.target) == ("throughput: cached / transformers Trainer", ">= 1")
    said = re.findall(r"^texts/s of (\w+): \d+ \(one thread, 2 batches\)$", capsys.readouterr().out, re.MULTILINE)
    assert said == ["cached", "live", "trainer"]


def test_the_student_is_cut_as_the_pipeline_says(part: Any) -> None:
    from edgekd import pipeline
    from edgekd.teachers import FirstLayers, StudentConfig

    throughput = part("throughput")
    shipped = pipeline.load("minilm-search").student
    assert shipped is not None
    found = throughput.sizes(shipped)
    assert (found.layers, found.feed_forward, found.heads) == (shipped.layers, shipped.feed_forward, shipped.heads)
    cut = throughput.sizes(StudentConfig(layers=2, heads=3, feed_forward=5))
    assert (cut.heads, cut.feed_forward) == (3, 5)
    first = throughput.sizes(StudentConfig(layers=FirstLayers(first=2), hidden=16))
    assert (first.layers, first.hidden) == ({"first": 2}, 16)
    for more in ({"output_width": 8}, {"vocabulary": "trimmed"}):
        with pytest.raises(RuntimeError, match=r"found \[student\] output_width or vocabulary"):
            throughput.sizes(StudentConfig(layers=2, **more))


def test_loops_step_in_turn_until_each_is_done(part: Any) -> None:
    order = []

    def loop(name: str, steps: int) -> Any:
        def run(turn: Any) -> None:
            for number in range(steps):
                turn()
                order.append(f"{name}{number}")

        return run

    seconds = part("turns").race({"a": loop("a", 3), "b": loop("b", 1), "c": loop("c", 2)})
    assert order == ["a0", "b0", "c0", "a1", "c1", "a2"]
    assert {name: len(each) for name, each in seconds.items()} == {"a": 4, "b": 2, "c": 3}  # and their start


def test_a_loop_that_fails_ends_the_race_after_the_others(part: Any) -> None:
    steps = []

    def fails(turn: Any) -> None:
        turn()
        raise ValueError("broken")

    def goes_on(turn: Any) -> None:
        for number in range(3):
            turn()
            steps.append(number)

    with pytest.raises(ValueError, match="broken"):
        part("turns").race({"first": fails, "second": goes_on})
    assert steps == [0, 1, 2]


def test_models_take_turns(part: Any) -> None:
    minilm, order = part("minilm"), []

    class Runner:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, batches: list[Any]) -> None:
            assert len(batches) == 1
            order.append(self.name)

    medians = minilm.medians([minilm.Model(Runner(name), {}) for name in ("teacher", "student")])
    assert len(medians) == 2
    turn = minilm.WARM + minilm.RUNS
    assert order == (["teacher"] * turn + ["student"] * turn) * minilm.TURNS


def test_the_trimmed_pipeline_is_the_shipped_one_but_for_its_vocabulary(part: Any, tmp_path: Path) -> None:
    from edgekd import pipeline

    trimmed = pipeline.load(part("minilm")._trimmed(tmp_path))
    shipped = pipeline.load("minilm-search")
    assert trimmed.student is not None
    assert trimmed.student.vocabulary == "merged"
    for name in ("task", "seed", "data", "teacher", "teacher_outputs", "parity", "budget"):
        assert getattr(trimmed, name) == getattr(shipped, name)
    assert [(step.use, step.config) for step in trimmed.stages] == [(step.use, step.config) for step in shipped.stages]
