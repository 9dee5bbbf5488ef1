"""Image files as arrays: what decoding and resizing do, that it is done once, and that memory stays flat."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from edgekd.data import images
from edgekd.data.cache import Cache
from edgekd.data.images import Decoder, decoded
from edgekd.data.sources import DataConfig, source
from edgekd.errors import BadInputError, MissingExtraError

LINE = np.array([0, 70, 140, 210], np.uint8)
PEAK = """
import re
import sys
from pathlib import Path

import numpy as np

from edgekd.data.sources import DataConfig
from edgekd.data.views import AugmentConfig
from edgekd.stages import calibration
from edgekd.stages.base import Context
from edgekd.tasks import TaskData

STATUS = Path("/proc/self/status")
peak = opened = 0


def look():
    global peak
    peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+) kB", STATUS.read_text())[1]))


def seen(event, arguments):
    global opened
    if event == "open" and str(arguments[0]).endswith(".bmp"):
        opened += 1
        if opened % 50 == 0:
            look()


sys.addaudithook(seen)  # so that it looks while images are read, too
root, kept = map(Path, sys.argv[1:])
data = TaskData("image-classification", DataConfig(use="folder", path=root, image_size=64, selection=20), kept)
data.digest
context = Context(kept, kept, data, 0, 1, lambda *_: look())
calibration.run((), calibration.Config(samples=20), context)
task = context.task().augmented(AugmentConfig(views=2, flip=True, shift_pixels=1))
for start in range(0, task.count("train"), 50):
    task.inputs("train", np.arange(start, start + 50), view=1)
    look()
task.under("noise", 0.1, 20, 0)
look()
sys.stdout.write(f"{task.count('train')} {opened} {peak}")
"""


def saved(path: Path, values: Any, mode: str | None = None) -> Path:
    image = Image.fromarray(np.asarray(values, np.uint8))
    (image if mode is None else image.convert(mode)).save(path)
    return path


def sized(path: Path, size: tuple[int, int] | None) -> Any:
    return decoded(path, "it", size)[..., 0].tolist()


def test_the_shorter_side_is_resized_and_the_longer_one_cut_at_both_ends(tmp_path: Path) -> None:
    wide = saved(tmp_path / "wide.png", [[10, 20, 30, 40], [50, 60, 70, 80]])
    assert sized(wide, (2, 2)) == [[20, 30], [60, 70]]
    assert sized(wide, (1, 4)) == [[30, 40, 50, 60]]  # the middle row: half of each
    assert sized(wide, (2, 4)) == sized(wide, None)


def test_a_smaller_image_has_means_of_all_that_its_pixels_cover(tmp_path: Path) -> None:
    line = saved(tmp_path / "line.png", np.tile(LINE, (4, 1)))
    # A triangle twice as wide: (3, 3, 1) / 7 of the nearest three. Without it 35 and 175, or single pixels.
    assert sized(line, (2, 2)) == [[50, 160], [50, 160]]
    assert sized(line, (8, 8))[0][::7] == [0, 210]  # larger ones are interpolated


@pytest.mark.parametrize(
    ("mode", "given", "wanted"),
    [
        ("L", 99, [99, 99, 99]),
        ("P", (255, 0, 0), [255, 0, 0]),
        ("RGBA", (1, 2, 3, 0), [1, 2, 3]),
        ("LA", (9, 0), [9, 9, 9]),
        ("CMYK", (255, 0, 0, 0), [0, 255, 255]),
        ("1", 1, [255, 255, 255]),
    ],
)
def test_every_mode_becomes_rgb_before_it_is_resized(mode: str, given: Any, wanted: list[int], tmp_path: Path) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    first = Image.new("RGB" if mode == "P" else mode, (6, 4), given)
    (first.quantize(4) if mode == "P" else first).save(path)
    found = decoded(path, "it", (2, 3))
    assert found.shape == (2, 3, 3)
    assert np.abs(found.astype(int) - wanted).max() <= (1 if mode == "CMYK" else 0)  # JPEG rounds


def test_deep_and_huge_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(BadInputError, match=r"^it: found an image of more than 8 bits a channel .* expected 8"):
        decoded(tmp_path / "deep.png", "it")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(BadInputError, match=r"^it: found a file that can't be read as an image: .* exceeds limit"):
        decoded(saved(tmp_path / "huge.png", np.zeros((5, 5))), "it")


def folder(root: Path, count: int, side: int = 8) -> Path:
    """``count`` training images of two classes and 20 test images: 18 kinds of noise, not all as wide."""
    chance = np.random.default_rng(0)
    root.mkdir()
    for kind in range(18):
        values = chance.integers(0, 256, (side, side + kind % 9, 3), np.uint8)
        Image.fromarray(values).save(root / f"{kind}.bmp")
    for split, number in (("train", count), ("test", 20)):
        for place, name in enumerate(("ant", "cat")):
            (root / split / name).mkdir(parents=True)
            for index in range(number // 2):
                (root / split / name / f"{index}.bmp").hardlink_to(root / f"{9 * place + index % 9}.bmp")
    return root


def test_images_are_decoded_once_and_again_when_they_or_the_size_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, kept, read = folder(tmp_path / "images", 6), tmp_path / "kept", []

    def counted(*arguments: Any) -> Any:
        read.append(arguments)
        return decoded(*arguments)

    def load(size: Any = 8) -> Any:
        read.clear()
        return source(DataConfig(use="folder", path=root, image_size=size), kept).load().train.images

    monkeypatch.setattr(images, "decoded", counted)
    first = load()
    assert (first.shape, len(read)) == ((6, 8, 8, 3), 26)
    assert np.array_equal(load(), first)
    assert read == []
    assert load([8, 4]).shape == (6, 8, 4, 3)
    assert len(read) == 26
    (root / "train" / "ant" / "0.bmp").unlink()
    saved(root / "train" / "ant" / "0.bmp", np.zeros((8, 8, 3)))
    assert not np.array_equal(load(), first)
    assert {path.suffix for path in kept.iterdir()} == {".npy"}


def test_images_are_mapped_from_disk_and_nothing_half_written_stays(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "kept")
    names = [(saved(tmp_path / f"{side}.png", np.full((side, 4), side)), str(side)) for side in (4, 4, 5)]
    found = Decoder(cache=kept).kept("alike", names[:2], 2)
    assert isinstance(found.base, np.memmap)
    assert not found.flags.writeable
    with pytest.raises(BadInputError, match=r"^5: found an image of 4x5, expected 4x4 as in 4") as caught:
        Decoder(cache=kept).kept("unlike", names, 3)
    assert "image_size = 224" in caught.value.hint
    assert [path.name for path in kept.root.iterdir()] == ["alike.npy"]


@pytest.mark.parametrize("size", [0, -1, 5000, 2.5, True, "224", [224], [1, 2, 3], [0, 4]])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(ValidationError):
        DataConfig(use="folder", image_size=size)


@pytest.mark.parametrize("use", ["fashion-mnist-subset", "tiny:data"])
def test_a_source_without_files_takes_no_size(use: str) -> None:
    with pytest.raises(BadInputError, match=r"^\[data\] image_size: found with use = "):
        source(DataConfig(use=use, image_size=8))


def test_a_missing_pillow_is_said_by_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="pillow"):
        source(DataConfig(use="folder", path=folder(tmp_path / "images", 2))).check()


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """RssAnon: memory that is no page of a file. 1,800 images more are 22 MB as bytes, and 88 MB as inputs."""
    found = {}
    for count in (200, 2000):
        root = folder(tmp_path / f"images {count}", count, 64)
        (tmp_path / f"kept {count}").mkdir()
        arguments = [sys.executable, "-c", PEAK, str(root), str(tmp_path / f"kept {count}")]
        ran = subprocess.run(arguments, capture_output=True, text=True, check=True, env=os.environ)
        rows, opened, peak = map(int, ran.stdout.split())
        assert rows == count
        assert opened >= 2 * count  # for the digest, and to decode it
        found[count] = peak
    assert found[2000] - found[200] < 10_000  # kB
