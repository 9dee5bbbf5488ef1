"""Energy: which counters are read, and what a run's share of them is."""

from pathlib import Path

import pytest

from edgekd.profile import child
from edgekd.profile.answer import energy_per_run


def zone(root: Path, folder: str, name: str, energy_uj: int) -> None:
    (root / folder).mkdir()
    (root / folder / "name").write_text(name + "\n")
    (root / folder / "energy_uj").write_text(f"{energy_uj}\n")
    (root / folder / "max_energy_range_uj").write_text("1000000\n")


def test_energy_counts_packages_and_their_memory_once(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 10)
    zone(tmp_path, "intel-rapl:0:0", "core", 20)
    zone(tmp_path, "intel-rapl:0:1", "dram", 30)
    zone(tmp_path, "intel-rapl:1", "package-1", 40)
    zone(tmp_path, "intel-rapl:1:0", "dram", 50)
    zone(tmp_path, "intel-rapl:2", "psys", 60)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 70)
    (tmp_path / "intel-rapl").mkdir()
    found = child.read_energy(tmp_path)
    assert isinstance(found, dict)
    assert sorted(energy for energy, _ in found.values()) == [10, 30, 40, 50]
    assert {largest for _, largest in found.values()} == {1_000_000}


def test_energy_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert child.read_energy(tmp_path / "none") == "no energy counter on this machine"
    zone(tmp_path, "intel-rapl:0", "package-0", 10)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert "not readable" in child.read_energy(tmp_path)

    def refuse(_: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert child.read_energy(tmp_path) == "the energy counter is readable by root only"


def test_energy_per_run_adds_the_counters_and_follows_one_around() -> None:
    before = {"0/package-0": (900_000, 1_000_000), "0/dram": (5, 1_000_000)}
    after = {"0/package-0": (100_000, 1_000_000), "0/dram": (100_005, 1_000_000)}
    assert energy_per_run(before, after, 3) == (pytest.approx(0.1), "")
    assert energy_per_run(before, before, 3) == (None, "the energy counter of this machine does not count")
    assert energy_per_run("why", after, 3) == (None, "why")
    assert energy_per_run(before, "gone", 3) == (None, "gone")
