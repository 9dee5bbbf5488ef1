"""The oldest runtime that the toolchain's files are meant for loads the finished ones: tflite-runtime 2.14.0."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import venvs
from modelfiles import Given, tokens

from edgekd.bundle.tflite_metadata import with_metadata
from edgekd.runtimes.tflite import Runner
from edgekd.tasks.image_classification import prepare

SCRIPT = Path(__file__).parent / "tflite_runtime_answers.py"
PINNED = ("tflite-runtime==2.14.0", "numpy==1.26.4")


@pytest.mark.system
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="tflite-runtime 2.14.0 has wheels for Python 3.11 at most")
def test_the_finished_files_run_there(
    image_files: dict[str, Given], text_files: dict[str, Given], tmp_path: Path
) -> None:
    """Images as edgekd measured them; texts as their unfinished file there, which takes weights by channel wrong."""
    python = venvs.made(tmp_path, *PINNED)
    rows = {"image": prepare(tiny.data().test.images[:2])}
    for given in image_files.values():
        wanted = Runner(given.path, 1).run([rows])
        found = answers(python, finished(given), rows, tmp_path)
        assert np.abs(found - wanted).max() <= 0.02 * np.abs(wanted).max()
    for given in text_files.values():
        texts = tokens(["the cat sat", "dogs"])
        found = answers(python, finished(given), texts, tmp_path)
        assert np.array_equal(found, answers(python, given.model, texts, tmp_path))


def finished(given: Given) -> bytes:
    return with_metadata(given.model, given.facts, given.assets)


def answers(python: Path, model: bytes, rows: dict[str, np.ndarray], folder: Path) -> np.ndarray:
    """What tflite-runtime gives for two rows, in real numbers."""
    path = folder / "model.tflite"
    path.write_bytes(model)
    runner = Runner(path, 1)
    for number in range(2):
        fed = runner.feed({name: values[number : number + 1] for name, values in rows.items()})
        np.savez(folder / f"{number}.npz", **fed)
    items = [str(folder / f"{number}.npz") for number in range(2)]
    found = np.array(venvs.answers(python, SCRIPT, {"model": str(path), "items": items}, folder), np.float32)[:, 0]
    (given,) = runner.gives
    return found if given.scale == 0 else given.scale * (found - given.zero_point)
