"""What `edgekd doctor --device` says of a device: by what files are run, on what, and what tells energy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from boards import session, standin, write_device
from daemons import phone

from edgekd import targets
from edgekd.cli import run
from edgekd.targets.base import Ability, Session


def told(opened: Session) -> dict[str, Ability]:
    return {each.name: each for each in opened.abilities()}


def test_a_board_with_python_runs_both_formats_on_its_cpu(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "power1_input").write_text("1250000\n")
    with session(tmp_path, energy={"file": str(tmp_path / "power1_input")}) as opened:
        found = told(opened)
    assert found.keys() == {".onnx files", ".tflite files", "accelerator", "energy"}
    assert found[".onnx files"].text.startswith("by its Python, onnxruntime 1.")
    assert found[".tflite files"].works
    assert not found["accelerator"].works
    assert found["energy"].text.startswith("1250000 uW at the moment, by cat ")
    assert list((tmp_path / "there it's $(touch pwned)").iterdir()) == []


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.targets.runners.BUILT", Path("nonexistent"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with session(tmp_path, python="no-python", energy={"command": ["echo", "much"]}) as opened:
        found = told(opened)
    assert not any(each.works for each in found.values())
    assert "there: pip install onnxruntime numpy; or here: make runner-arm64" in found[".onnx files"].text
    assert "benchmark_model" in found[".tflite files"].text
    assert found["energy"].text == "echo much gave 'much', expected a number"


def test_doctor_tells_what_a_benchmark_of_ones_own_can_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner = standin(tmp_path / "mine", "benchmark_model")
    given = {"target": "host", "folder": str(tmp_path), "python": "no-python"}
    one = write_device(tmp_path / "device.toml", **given, runner=str(runner), accelerator="gpu")
    assert run(["doctor", "--device", str(one.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith("reached  device by host: ")]
    ours = {line.split(": ")[0].split(", ")[1]: line for line in lines[start + 1 :]}
    assert ours[".tflite files"].startswith("ok       device, .tflite files: by benchmark_model of the user's, ")
    assert ours["accelerator"] == "ok       device, accelerator: gpu is asked for, of cpu, gpu, xnnpack"
    assert ours["percentiles"].startswith("no       device, percentiles: benchmark_model prints a summary")
    assert ours["energy"].startswith("no       device, energy: the device file names no [reach.energy]")
    write_device(tmp_path / "device.toml", **given, runner=str(runner), accelerator="nnapi")
    assert run(["doctor", "--device", str(one.path)]) == 0
    assert "no       device, .tflite files: " in capsys.readouterr().out


@pytest.mark.system
def test_a_phone_tells_of_its_rails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "phone").mkdir()
    with phone(tmp_path / "phone") as one:
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
        there = write_device(tmp_path / "p.toml", target="adb", folder=str(tmp_path), python=sys.executable)
        with targets.measuring(there) as opened:
            without = told(opened)["energy"]
            standin(one.tools / "perfetto", "perfetto")
            found = told(opened)["energy"]
    assert "has no perfetto" in without.text
    assert "off the charger" in without.text
    assert not without.works
    assert found.works
    assert "W at the moment, by 2 power rails; most by S2M_VDD_CPUCL2" in found.text
