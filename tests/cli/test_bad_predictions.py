"""What can be wrong with a device file or a file to predict, on the command line: found, expected, file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from adders import write_onnx, write_tflite

from edgekd.cli import run
from edgekd.device import load
from edgekd.errors import EXIT_USAGE
from edgekd.targets import anchors
from edgekd.targets.anchors import Anchor
from edgekd.targets.transfer import Load

WORK = Load(
    pointwise=1e6,
    wide=0,
    winograd=0,
    depthwise=0,
    dense=0,
    unpacked=0,
    weights=1e4,
    values=1e4,
    read=1e4,
    transformed=0,
    operators=10,
)
BOARD = """\
title = "A board"
arch = "arm64"
runtimes = ["onnxruntime"]

[facts.clusters]
value = [{ core = "Cortex-A76", count = 4, clock = "2.4 GHz" }]
source = "the box"

[facts.memory_bandwidth]
value = "17 GB/s"
source = "a bench"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def board(text: str = BOARD) -> str:
    Path("board.toml").write_text(text)
    return "board.toml"


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert run([str(word) for word in words]) == EXIT_USAGE
    output, errors = capsys.readouterr()
    assert output == ""
    assert "Traceback" not in errors
    return errors


def predicted(capsys: pytest.CaptureFixture[str], *words: str | Path, device: str = "board.toml") -> str:
    assert run(["profile", *map(str, words), "--device", device]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('source = "a bench"\n', "", "board.toml:9: found no 'facts.memory_bandwidth.source', which is required"),
        ("count = 4", "count = 0", "board.toml:6: facts.clusters.value.0.count: found 0: Input should be greater than"),
        ("count = 4", "count = 4.5", "board.toml:6: facts.clusters.value.0.count: found 4.5"),
        (
            "17 GB/s",
            "9000 GB/s",
            "board.toml:10: facts.memory_bandwidth.value: found '9000 GB/s': Input should be less",
        ),
        ("17 GB/s", "9 TB/s", "board.toml:10: facts.memory_bandwidth.value: found '9 TB/s': found the unit 'TB/s'"),
        ("2.4 GHz", "-1 GHz", "board.toml:6: facts.clusters.value.0.clock: found '-1 GHz'"),
        ("2.4 GHz", "nan GHz", "board.toml:6: facts.clusters.value.0.clock: found 'nan GHz'"),
        ('title = "A board"', 'extends = "board.toml"', "board.toml: found a circle: board.toml is like board.toml"),
    ],
)
@pytest.mark.parametrize("command", [["devices", "show"], ["plan", "default", "--device"]])
def test_a_device_file_that_cannot_be_is_refused(
    command: list[str], old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in BOARD
    assert said in refused(capsys, *command, board(BOARD.replace(old, new)))


def test_operators_that_were_never_seen_are_named_and_widen(capsys: pytest.CaptureFixture[str]) -> None:
    said = predicted(capsys, write_onnx(Path("m.onnx"), batch=1), device=board())
    assert "note: m: no published row holds Sum; the interval of the latency is wider for it, as judged\n" in said


def test_an_open_size_is_refused_by_its_name_and_predicted_once_it_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = write_onnx(Path("m.onnx"))
    errors = refused(capsys, "profile", model, "--device", board())
    assert "m.onnx: found the input 'x' of shape nx4, whose size 'n' (dimension 0) isn't fixed" in errors
    assert "--shape 'x=1,4'" in errors
    assert "predicted, with 90 % intervals" in predicted(capsys, model, "--shape", "x=2,4")


def test_a_file_for_a_runtime_that_the_device_has_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    errors = refused(capsys, "profile", write_tflite(Path("m.tflite")), "--device", board())
    assert (
        "m.tflite: found a file for tflite, which board can't run: its runtimes are onnxruntime (board.toml)" in errors
    )


@pytest.mark.parametrize(
    ("runtime", "precision", "threads"),
    [("tflite", "float", 1), ("onnxruntime", "int8", 1), ("onnxruntime", "float", 4)],
)
def test_anchors_of_another_runtime_precision_or_threads_are_named_and_change_nothing(
    runtime: str, precision: str, threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write_onnx(Path("m.onnx"), batch=1), "--json"
    before = json.loads(predicted(capsys, *words, device=board()))
    other = Anchor("a.onnx", runtime, precision, threads, WORK, 1.0, "a test")
    anchors.write(load("board.toml"), (other,))
    after = json.loads(predicted(capsys, *words))
    first, second = (found["measurements"][0] for found in (before, after))
    assert first["intervals"] == second["intervals"]
    assert (
        f"note: m: anchors that were not used: a.onnx ({runtime}, {precision}, threads {threads}; "
        "this is onnxruntime, float, one thread)\n"
    ) in predicted(capsys, words[0])


def test_an_anchor_that_fits_is_used_and_the_interval_gets_narrower(capsys: pytest.CaptureFixture[str]) -> None:
    words = write_onnx(Path("m.onnx"), batch=1), "--json"
    before = json.loads(predicted(capsys, *words, device=board()))["measurements"][0]["intervals"]["p50"]
    fitting = Anchor("a.onnx", "onnxruntime", "float", 1, WORK, 1e-3, "a test")
    anchors.write(load("board.toml"), (fitting,))
    after = json.loads(predicted(capsys, *words))["measurements"][0]["intervals"]["p50"]
    assert after["upper"] / after["lower"] < before["upper"] / before["lower"]
    assert "anchors that were not used" not in predicted(capsys, words[0])
