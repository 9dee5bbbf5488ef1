"""The figure of the INT8 candidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reports import REPORT

from edgekd.report import figure, folder
from edgekd.report.model import CandidateRow

ROWS = tuple(
    CandidateRow(artifact, name, drop, drop - 0.002, drop + 0.004, 0.99, latency_s, name == "mse")
    for artifact in ("onnx_int8", "tflite_int8")
    for name, drop, latency_s in (("min-max", 0.012, 0.0011), ("mse", -0.001, 0.001), ("mse, 3 in float", 0.0, 0.002))
)
GREEN = np.array([0x2C, 0xA0, 0x2C])  # the chosen one's


def green(path: Path) -> np.ndarray:
    """For each column of the picture, how many pixels are of the chosen one's colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.asarray((np.abs(pixels - GREEN).max(2) < 8).sum(0))


def test_each_file_has_a_panel_in_which_the_chosen_one_is_marked(tmp_path: Path) -> None:
    figure.draw(replace(REPORT, candidates=ROWS), tmp_path / "a.png")
    columns = green(tmp_path / "a.png")
    half = len(columns) // 2
    assert columns[:half].sum() > 30
    assert columns[half:].sum() > 30
    figure.draw(replace(REPORT, candidates=tuple(replace(row, chosen=False) for row in ROWS)), tmp_path / "none.png")
    assert green(tmp_path / "none.png").sum() == 0


def test_equal_reports_have_equal_figures(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        figure.draw(replace(REPORT, candidates=ROWS), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_run_folder_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (folder.write(replace(REPORT, candidates=ROWS), {}, tmp_path) / "int8.png").is_file()
    monkeypatch.setattr(figure, "possible", lambda: False)
    assert not (folder.write(replace(REPORT, candidates=ROWS), {}, tmp_path) / "int8.png").exists()
