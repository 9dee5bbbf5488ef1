"""The Python sample, as an app developer runs it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import handbundle
import numpy as np
import pytest
from PIL import Image, ImageOps
from workshop import Built

SAMPLE = Path("samples/python/edgekd_sample.py")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def of(bundle: Path, *arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", [str(bundle / SAMPLE), *arguments])
        code = sample(bundle).main()
        return Ran(code, *capsys.readouterr())

    return of


def sample(bundle: Path) -> Any:
    spec = importlib.util.spec_from_file_location("edgekd_sample", bundle / SAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with patch.object(sys, "dont_write_bytecode", True):  # the bundle is to stay as it was summed
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    return handbundle.images(tmp_path_factory.mktemp("a bundle"), weights)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handbundle.texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture
def copied(images: Path, tmp_path: Path) -> Path:
    return shutil.copytree(images, tmp_path / "bündle, copied")


def test_checks_images_and_answers_with_labels_as_they_are(run: Run, images: Path) -> None:
    checked = run(images)
    assert checked.code == 0, checked.out + checked.err
    assert [line.split(": ")[:2] for line in checked.out.splitlines()] == [["model.onnx", "ok"], ["float.onnx", "ok"]]
    answered = run(images, str(images / "golden/raw/001.png"))
    assert "column 🏛" in answered.out.split(": ")[1].split("%")[0]  # the second test image is a column


def test_checks_both_models_of_a_build(run: Run, built: Built) -> None:
    bundle = built.workshop.folder / built.run_folder / "bundle"
    checked = run(bundle)
    assert checked.code == 0, checked.out + checked.err
    assert [line.split(": ")[:2] for line in checked.out.splitlines()] == [["model.onnx", "ok"], ["model.tflite", "ok"]]


def test_runs_as_a_program_in_another_folder(texts: Path, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, texts / SAMPLE], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (ran.returncode, "model.onnx: ok: 16 golden vectors" in ran.stdout) == (0, True), ran.stdout + ran.stderr


def test_the_commands_of_the_readme(images: Path) -> None:
    install, *started = handbundle.commands("Python")
    assert (
        install == "pip install numpy onnxruntime ai-edge-litert pillow tokenizers"
    )  # all of them are edgekd's own too
    for command in started:
        words = [sys.executable, *command.split()[1:]]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=images)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_checks_texts_and_answers_with_a_vector(run: Run, texts: Path) -> None:
    checked = run(texts)
    assert checked.code == 0, checked.out + checked.err
    assert "model.onnx: ok: 16 golden vectors" in checked.out
    assert "8 values of length 1.0000" in run(texts, "the cat sat, on a mat").out


def swap(bundle: Path) -> None:
    shutil.copy(bundle / "float.onnx", bundle / "model.onnx")


def swap_and_lie(bundle: Path) -> None:
    """The other model under the first one's name, with its digest in the manifest, and golden outputs of the other."""
    path = bundle / "manifest.json"
    facts = json.loads(path.read_text())
    facts["models"][1]["sha256"] = facts["models"][0]["sha256"]
    shutil.copy(bundle / "model.onnx", bundle / "float.onnx")
    path.write_text(json.dumps(facts))
    tighten(bundle, 1e-6)


def tighten(bundle: Path, limit: float) -> None:
    path = bundle / "golden/golden.json"
    index = json.loads(path.read_text())
    for (each,) in index["tolerances"].values():
        each["max_abs"] = limit
    path.write_text(json.dumps(index))


def another_input(bundle: Path) -> None:
    shutil.copy(bundle / "golden/raw/002.png", bundle / "golden/raw/001.png")


def another_mean(bundle: Path) -> None:
    path = bundle / "manifest.json"
    facts = json.loads(path.read_text())
    facts["preprocessing"]["mean"] = [0, 0, 0]
    path.write_text(json.dumps(facts))


def not_a_number(bundle: Path) -> None:
    values = np.full(3, np.nan, "<f4")
    (bundle / "golden/tensors/000-model-out.bin").write_bytes(values.tobytes())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (swap, "model.onnx: FAILED: this is not the file of which manifest.json speaks"),
        (swap_and_lie, "float.onnx: FAILED: golden vector 0: scores: "),
        (another_input, "model.onnx: FAILED: golden vector 1: input pixels: prepared here it is "),
        (another_mean, "model.onnx: FAILED: golden vector 0: input pixels: "),
        (not_a_number, "model.onnx: FAILED: golden vector 0: scores: nan apart"),
    ],
)
def test_fails_where_files_do_not_fit(run: Run, copied: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(copied)
    ran = run(copied)
    assert (ran.code, said in ran.out) == (1, True), ran.out + ran.err


@pytest.mark.parametrize("place", ["golden/tensors/003-model-pixels.bin", "golden/raw/003.png", "golden/golden.json"])
def test_names_a_golden_file_that_is_missing(run: Run, copied: Path, place: str) -> None:
    (copied / place).unlink()
    ran = run(copied)
    assert (ran.code, Path(place).name in ran.err) == (1, True), ran.out + ran.err


def test_takes_10_000_labels(run: Run, copied: Path) -> None:
    labels = [f'class {number}, "{chr(0x1F600 + number % 80)}"' for number in range(10_000)]
    (copied / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    assert 'class 1, "😁"' in run(copied, str(copied / "golden/raw/001.png")).out


@pytest.mark.parametrize("size", [(9, 30), (64, 31), (12, 12), (300, 500)])
def test_resizes_as_training_images_were(images: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(8).integers(0, 256, (*size, 3)).astype(np.uint8)
    facts = {"height": 12, "width": 16, "crop": "centre", "resize": "bilinear-antialiased"}
    found = sample(images).resized(pixels.astype(np.float32), facts)
    wanted = np.asarray(ImageOps.fit(Image.fromarray(pixels), (16, 12), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(found - wanted).max() <= 1  # of 255: Pillow's weights have 22 bits
