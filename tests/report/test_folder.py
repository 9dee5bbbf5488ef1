"""The run folder is put in place whole, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from reports import REPORT

from edgekd.report import folder


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "a.bin").write_bytes(b"model")
    return {"model.onnx": tmp_path / "a.bin", "made/a.bin": tmp_path / "a.bin"}


def test_a_run_has_its_files_its_report_and_is_the_latest(tmp_path: Path, files: dict[str, Path]) -> None:
    root = tmp_path / "out"
    run = folder.write(REPORT, files, root)
    assert run.parent == root / "tiny" / "pixel8"
    assert sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()) == [
        "junit.xml",
        "made/a.bin",
        "model.onnx",
        "report.json",
        "report.md",
    ]
    assert json.loads((run / "report.json").read_text())["notes"] == list(REPORT.notes)
    assert (run / "report.json").read_text() == folder.to_json(REPORT)
    assert (root / "latest").readlink() == run.relative_to(root)


def test_runs_of_the_same_second_are_all_kept(tmp_path: Path, files: dict[str, Path]) -> None:
    root = tmp_path / "out"
    runs = [folder.write(replace(REPORT, seconds=float(number)), files, root) for number in range(5)]
    assert len(set(runs)) == 5
    assert [json.loads((run / "report.json").read_text())["seconds"] for run in runs] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (root / "latest").resolve() == runs[-1].resolve()


def test_a_clock_that_is_set_back_loses_no_run_and_the_last_one_is_the_latest(
    tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter((datetime(2038, 1, 19, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)))
    monkeypatch.setattr(folder, "datetime", SimpleNamespace(now=lambda _zone: next(times)))
    root = tmp_path / "out"
    runs = [folder.write(REPORT, files, root) for _ in range(2)]
    assert [run.name for run in runs] == ["20380119-000000", "19700101-000000"]
    assert (root / "latest").resolve() == runs[1].resolve()


def test_a_failure_leaves_nothing_and_the_last_run_stays_the_latest(tmp_path: Path, files: dict[str, Path]) -> None:
    root = tmp_path / "out"
    first = folder.write(REPORT, files, root)
    with pytest.raises(FileNotFoundError):
        folder.write(REPORT, {**files, "lost.bin": tmp_path / "lost.bin"}, root)
    assert [path.name for path in (root / "tiny" / "pixel8").iterdir()] == [first.name]
    assert (root / "latest").resolve() == first.resolve()
    assert not list(root.glob(".latest*"))
