"""Photographs: crops of natural photographs out of Debian packages and scikit-image, for EfficientNet-Lite0.

Nothing is vendored: packages are downloaded by apt-get and pip and unpacked below the output folder, without root.
All but the drawings are taken: wallpapers that are photographs (packages lomiri-wallpapers-16.04, CC-BY-SA;
mate-backgrounds, GPL and CC-BY-SA; plasma-workspace-wallpapers, CC-BY-SA and LGPL), the photographs of animals and
monuments that gcompris-qt-data has (GPL and CC-BY-SA), and scikit-image's samples (its README lists their licences).

Every photograph belongs to one part. Ranges are set by crops of the calibration part, candidates are chosen on the
selection part, and the test part is only ever scored.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

Bytes = npt.NDArray[np.uint8]

SIZE = 224
SHORTEST = 350  # pixels of a photograph's shorter side
SHARES = {  # of the shorter side: the sides of its crops, of which float is to be sure of enough outside calibration
    "calibration": (1.0, 0.6),
    "selection": (1.0, 0.85, 0.7, 0.6),
    "test": (1.0, 0.85, 0.7, 0.6),
}
PLACES = {"calibration": 5, "selection": 5, "test": 9}  # of each share below 1: corners and middle, or a grid
PARTS = ("test", "calibration", "test", "selection", "test")  # of photographs one after another
SAMPLES = "scikit-image==0.26.0"
PACKAGES = ("lomiri-wallpapers-16.04", "mate-backgrounds", "plasma-workspace-wallpapers", "gcompris-qt-data")
BACKGROUNDS = (
    "Bridge_by_Sander_Klootwijk",
    "Dragonfly_by_Bolly",
    "Picture_0B_by_freespace",
    "Picture_1A_by_freespace",
    "Wine_by_Jakkub_Mede",
    "aitzgorri_by_Aitzol_Berasategi",
    "free_by_Peter_Nerlich",
    "friends_by_Aitzol_Berasategi",
    "greentock_by_Peter_Nerlich",
    "life_by_Aitzol_Berasategi",
    "picosdeeuropa_by_Aitzol_Berasategi",
    "seeding_by_Clements_Engelhardt",
    "sunset_by_Aitzol_Berasategi",
    "mate/nature/Aqua",
    "mate/nature/Blinds",
    "mate/nature/Dune",
    "mate/nature/FreshFlower",
    "mate/nature/Garden",
    "mate/nature/GreenMeadow",
    "mate/nature/LadyBird",
    "mate/nature/RainDrops",
    "mate/nature/Storm",
    "mate/nature/TwoWings",
    "mate/nature/Wood",
    "mate/nature/YellowFlower",
)
WALLPAPERS = (
    "BytheWater",
    "ColdRipple",
    "ColorfulCups",
    "DarkestHour",
    "EveningGlow",
    "FallenLeaf",
    "Grey",
    "Kite",
    "OneStandsOut",
    "Path",
    "summer_1am",
)
COLLECTIONS = ("erase", "explore_farm_animals", "explore_monuments", "explore_world_animals")
SAMPLED = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "motorcycle_left", "rocket")
_CHOSEN = (SHARES, PLACES, PARTS, BACKGROUNDS, WALLPAPERS, COLLECTIONS, SAMPLED)
RULES = hashlib.sha256(repr(_CHOSEN).encode()).hexdigest()[:8]  # crops cut by others are other crops


def crops(folder: Path) -> dict[str, tuple[Bytes, npt.NDArray[np.int64]]]:
    """Crops (N, 224, 224, 3) of each part, and the number of the photograph that each was cut out of."""
    path = folder / f"crops-{RULES}.npz"
    if not path.is_file():
        found: dict[str, list[tuple[int, Bytes]]] = {part: [] for part in PARTS}
        for number, photograph in enumerate(photographs(folder)):
            part = PARTS[number % len(PARTS)]
            found[part] += [(number, crop) for crop in cut(photograph, SHARES[part], PLACES[part])]
        arrays = {part: np.stack([crop for _, crop in each]) for part, each in found.items()}
        numbers = {f"{part}_of": np.array([number for number, _ in each]) for part, each in found.items()}
        np.savez(path, allow_pickle=False, **arrays, **numbers)
    with np.load(path) as kept:
        return {part: (kept[part], kept[f"{part}_of"]) for part in dict.fromkeys(PARTS)}


def cut(photograph: Image, shares: Sequence[float], places: int) -> Iterator[Bytes]:
    """Squares of 224 x 224: three as wide as the photograph, along its longer side, and five or nine of each share."""
    width, height = photograph.size
    seen = set()
    for share in shares:
        side = int(share * min(width, height))
        ends = (0.0, 1.0) if share < 1 and places == 5 else (0.0, 0.5, 1.0)
        for x, y in sorted({(x, y) for x in ends for y in ends} | {(0.5, 0.5)}):
            left, top = round(x * (width - side)), round(y * (height - side))
            if (side, left, top) not in seen:
                seen.add((side, left, top))
                square = photograph.crop((left, top, left + side, top + side))
                yield np.asarray(square.resize((SIZE, SIZE), reducing_gap=3.0), np.uint8)


def photographs(folder: Path) -> Iterator[Image]:
    """All photographs, in an order that only their names decide."""
    root, samples = _unpacked(folder), _samples(folder)
    for name in BACKGROUNDS:
        yield _read((root / f"usr/share/backgrounds/{name}.jpg").read_bytes())
    for name in WALLPAPERS:
        yield _read(next((root / f"usr/share/wallpapers/{name}/contents/images").iterdir()).read_bytes())
    for name in COLLECTIONS:
        yield from _inside(root / f"usr/share/gcompris-qt/rcc/{name}.rcc")
    for name in SAMPLED:
        yield _read(next(samples.glob(f"{name}.*")).read_bytes())


def _inside(collection: Path) -> Iterator[Image]:
    """The photographs of a file of Qt's resources, which has them one after another as whole WebP files."""
    content = collection.read_bytes()
    for found in re.finditer(b"RIFF(....)WEBP", content, re.DOTALL):
        length = int.from_bytes(found[1], "little") + 8
        photograph = _read(content[found.start() : found.start() + length])
        if min(photograph.size) >= SHORTEST:
            yield photograph


def _read(content: bytes) -> Image:
    from PIL import Image

    return Image.open(io.BytesIO(content)).convert("RGB")


def _unpacked(folder: Path) -> Path:
    root = folder / "packages"
    if not (root / "complete").is_file():
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=root, check=True)
        for package in sorted(root.glob("*.deb")):
            subprocess.run(["dpkg", "-x", package, root], check=True)
        (root / "complete").touch()
    return root


def _samples(folder: Path) -> Path:
    root = folder / "samples"
    if not root.is_dir():
        command = ["-m", "pip", "download", "-qq", "--no-deps", "--only-binary", ":all:", "-d", str(folder), SAMPLES]
        subprocess.run([sys.executable, *command], check=True)
        with zipfile.ZipFile(next(folder.glob("scikit_image-*.whl"))) as wheel:
            wheel.extractall(root, [name for name in wheel.namelist() if name.startswith("skimage/data/")])
    return root / "skimage" / "data"
