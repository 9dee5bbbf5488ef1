"""The benchmark of predictions: how far publications are apart, and which families are judged unseen."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from workshop import run_script

from edgekd.targets.load import Load
from edgekd.targets.transfer import Core, Place, Published

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CORES = (Core("Cortex-A72", "out-of-order neon", 1.5e9),)
LOAD = Load(1e8, 0, 0, 1e7, 1e6, 0, 1e6, 1e6, 1e6, 0, 30)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, whose scripts lie beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent / "scripts"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("prediction")


def row(device: str, model: str, latency_s: float, *, family: str = "f", cores: tuple[Core, ...] = CORES) -> Published:
    place = Place(device, "chip", cores, 1)
    return Published("source", "ncnn", "int8", "1", place, model, family, LOAD, latency_s)


def test_help_names_what_it_takes(tmp_path: Path) -> None:
    ran = run_script(BENCHMARKS / "prediction.py", tmp_path, "--help")
    assert ran.code == 0
    assert "--nested" in ran.out


def test_publications_apart_with_and_without_what_the_devices_share(benchmark: Any) -> None:
    """One device is twice as slow throughout, but for one network in three, of which it takes 2.2 times as long."""
    rows = [row("a", name, 1.0) for name in "xyz"]
    rows += [row("b", "x", 0.5), row("b", "y", 0.5), row("b", "z", 1 / 2.2)]
    plain, rest, pairs = benchmark.apart(rows)
    assert (plain, rest, pairs) == (pytest.approx(1.0), pytest.approx(0.0), 3)
    _, rest, _ = benchmark.apart([each for each in rows if each.model != "y"])
    assert rest == pytest.approx(0.0488, abs=3e-3)  # half of the 10 % on either side


def test_only_another_device_with_the_same_cores_is_compared(benchmark: Any) -> None:
    faster = (Core("Cortex-A72", "out-of-order neon", 1.8e9),)
    assert benchmark.apart([row("a", "x", 1.0), row("a", "x", 2.0)]) is None
    assert benchmark.apart([row("a", "x", 1.0), row("b", "x", 2.0, cores=faster)]) is None
    assert benchmark.apart([row("a", "x", 1.0), row("b", "y", 2.0)]) is None


def test_every_family_is_held_out_once_and_common_ones_apart(benchmark: Any) -> None:
    rows = [
        row("a", f"{family}{index}", 1.0, family=family) for family in "abcdef" for index in range(ord(family) - 96)
    ]
    found = benchmark.folds(rows)
    assert sorted(family for each in found for family in each) == list("abcdef")
    assert not any({"e", "f"} <= each for each in found)


def test_a_nested_judgement_reports_the_held_families_alone(benchmark: Any) -> None:
    table = ("ncnn", "int8", "1")
    inside, outside = row("a", "x", 1.0, family="in"), row("a", "y", 1.0, family="out")
    assert benchmark.chosen(inside, table, {"in"})
    assert not benchmark.chosen(outside, table, {"in"})
    assert benchmark.chosen(outside, table, None)
