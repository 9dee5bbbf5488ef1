"""Bad input exits with 2, says what was found, what was expected, where and what to do, and leaves nothing behind."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workshop import ONNX_ONLY, Ran, Workshop

BUILD = ("build", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out")
TIMES = "a number with one of the units ns, us, µs, ms, s, min"
SAME = "expected the same height, width and channels"
DATA = """\
import numpy as np
from edgekd.data.dataset import DataSet, Split

def data():
    images, labels = np.full((90, 12, 12, 1), 7, np.float32), np.arange(90) % 3
    train = test = Split(images, labels)
    {change}
    return DataSet("mine", ("a", "b", "c"), train, test)
"""
WITHOUT = """\
from importlib.machinery import PathFinder

real = PathFinder.find_spec


def find_spec(cls, name, *rest):
    return None if name.partition(".")[0] == "{package}" else real(name, *rest)


PathFinder.find_spec = classmethod(find_spec)
"""


def refusal(ran: Ran) -> tuple[str, str]:
    """The error's message and hint; everything else that a refusal must be is checked here."""
    assert ran.code == 2, ran.err
    assert ran.out == ""
    lines = [line for line in ran.err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert ran.err.splitlines()[-len(lines) :] == lines, "something was said after the error"
    message, *hints = lines
    assert message.startswith("error: ")
    return message.removeprefix("error: "), "".join(hints).removeprefix("hint: ")


@pytest.fixture
def shop(workshop: Workshop) -> Iterator[Workshop]:
    workshop.pipeline("tiny", ONNX_ONLY)
    before = {path.name for path in workshop.folder.iterdir()}
    yield workshop
    assert {path.name for path in workshop.folder.iterdir()} - before <= {"out", "__pycache__"}
    left = {path.name for path in (workshop.folder / "out").rglob("*") if path.is_dir()}
    assert not [name for name in left if name.startswith((".partial", "scratch-"))]
    assert not (workshop.folder / "out" / "latest").exists()


@pytest.mark.parametrize("command", ["build", "plan"])
@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["tiny.toml", "--device", "pixle8"],
            "found no device 'pixle8': neither a file nor a name",
            "did you mean 'pixel8' or 'pixel9' or 'pixel8pro'?",
        ),
        (
            ["defualt", "--device", "pixel8"],
            "found no pipeline 'defualt': neither a file nor a name",
            "did you mean 'default'?",
        ),
        (
            ["tiny.toml", "--device", "pixel8", "--limit", "latency_p95<=20 MB"],
            "--limit: latency_p95: found the unit 'MB' in '20 MB', expected " + TIMES,
            "write for example '100 ms'",
        ),
        (
            ["tiny.toml", "--device", "pixel8", "--limit", "latency_p95<=20"],
            "--limit: latency_p95: found no unit in '20', expected " + TIMES,
            "write for example '100 ms'",
        ),
        (
            ["typo.toml", "--device", "pixel8"],
            "typo.toml:21: found the unknown key 'stages.0.epoch'",
            "did you mean 'epochs'?",
        ),
    ],
)
def test_what_is_wrong_on_the_command_line_or_in_a_file(
    command: str, arguments: list[str], message: str, hint: str, shop: Workshop
) -> None:
    text = ONNX_ONLY.replace("epochs = 30", "epoch = 30")
    line = text[: text.index("epoch = 30")].count("\n") + 1
    (shop.folder / "tiny.toml").with_name("typo.toml").write_text(text)
    try:
        found = refusal(shop.run(command, *arguments, "-o", "out"))
    finally:
        (shop.folder / "typo.toml").unlink()
    assert found == (message.replace("typo.toml:21", f"typo.toml:{line}"), hint)
    assert not (shop.folder / "out").exists()


@pytest.mark.parametrize(
    ("package", "extra", "use"), [("torch", "build", "torch"), ("litert_torch", "tflite", "litert")]
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    package: str, extra: str, use: str, shop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    blocker = tmp_path_factory.mktemp("blocker")
    (blocker / "sitecustomize.py").write_text(WITHOUT.format(package=package))
    ran = shop.run("plan", "--device", "pixel8", PYTHONPATH=str(blocker))
    message, hint = refusal(ran)
    assert use in message
    assert message.endswith("which is not installed")
    assert hint == f"install it with: pip install 'edgekd[{extra}]'"
    assert shop.run("devices", "list", PYTHONPATH=str(blocker)).code == 0


def test_an_output_that_cannot_be_written(shop: Workshop) -> None:
    message, hint = refusal(shop.run(*BUILD[:-1], "tiny.toml/out"))
    assert message == "tiny.toml/out/.store: found a place that can't be written: Not a directory"
    assert hint == "choose another output folder with -o DIR"


def test_an_output_that_is_a_file(shop: Workshop) -> None:
    ran = shop.run(*BUILD[:-1], "tiny.toml")
    assert (ran.code, ran.out) == (2, "")
    assert "Directory 'tiny.toml' is a file." in ran.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "images[4, 0, 0, 0] = np.nan",
            "data set 'mine', split 'train': found NaN or infinite values in 1 of 90 images, the first in row 4",
        ),
        (
            "test = Split(images, labels + 1)",
            "data set 'mine', split 'test': found label 3 in row 2, expected 0 to 2 (3 classes)",
        ),
        (
            "train = Split(images[:0], labels[:0])",
            "data set 'mine', split 'train': found no images, expected at least one",
        ),
        (
            "test = Split(images[:, :8], labels)",
            "data set 'mine': found training images of (12, 12, 1) and test images of (8, 12, 1), " + SAME,
        ),
        (
            "train = Split(images, labels // 2 * 2)",
            "training split: found 0 images of class 1, expected at least 10 for a stratified set of 30",
        ),
        ("raise FileNotFoundError('my.csv')", "[data] use: mine:data raised FileNotFoundError: my.csv"),
    ],
)
def test_data_that_cannot_be_trained_on(change: str, message: str, workshop: Workshop) -> None:
    (workshop.folder / "mine.py").write_text(DATA.format(change=change))
    workshop.pipeline("tiny", ONNX_ONLY.replace("tiny:data", "mine:data"))
    found, _ = refusal(workshop.run(*BUILD))
    assert found == message
    assert not (workshop.folder / "out" / "tiny").exists()


def test_a_folder_with_images_of_different_sizes(workshop: Workshop) -> None:
    from PIL import Image

    for name, side in (("train/a/1.png", 12), ("train/b/1.png", 13), ("test/a/1.png", 12)):
        (workshop.folder / name).parent.mkdir(parents=True)
        Image.new("L", (side, side)).save(workshop.folder / name)
    workshop.pipeline("tiny", ONNX_ONLY.replace('"tiny:data"', '"folder"\npath = "."'))
    message, hint = refusal(workshop.run(*BUILD))
    assert message == "train/b/1.png: found an image of 13x13, expected 12x12 as in train/a/1.png"
    assert hint == "write image_size = 224, or [HEIGHT, WIDTH], in [data]: all are then brought to that size"


class Trap:
    """Unpickling this would make the file 'touched'."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.touched,)


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(workshop: Workshop) -> None:
    (workshop.folder / "evil.pt").write_bytes(pickle.dumps(Trap(workshop.folder / "touched")))
    workshop.pipeline("tiny", ONNX_ONLY.replace("teacher.safetensors", "evil.pt"))
    message, hint = refusal(workshop.run(*BUILD))
    assert message.startswith("[teacher] weights: found evil.pt, which is corrupt or needs code to be unpickled; ")
    assert "safetensors.torch.save_file" in hint
    assert not (workshop.folder / "touched").exists()


def test_a_corrupt_checkpoint_is_refused(shop: Workshop) -> None:
    whole = (shop.folder / "teacher.safetensors").read_bytes()
    (shop.folder / "teacher.safetensors").write_bytes(whole[:-100])
    message, _ = refusal(shop.run(*BUILD))
    assert message.startswith("[teacher] weights: found no readable weights in teacher.safetensors: ")


def test_a_teacher_for_other_classes_is_refused(shop: Workshop) -> None:
    import tinynet
    from safetensors.torch import save_file

    save_file(tinynet.teacher(classes=4).state_dict(), shop.folder / "teacher.safetensors")
    four = 'model = "tinynet:teacher"\noptions = { classes = 4 }'
    shop.pipeline("tiny", ONNX_ONLY.replace('model = "tinynet:teacher"', four))
    message, hint = refusal(shop.run(*BUILD))
    assert message == (
        "the teacher gives outputs of shape (1, 4) for one image, expected (1, 3): data set 'tiny bars' has 3 classes"
    )
    assert hint == "use a teacher that was trained on these classes"
