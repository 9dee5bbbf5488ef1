"""Samples in five languages, as they are: what they know of the models they read from manifest.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edgekd.bundle.checksums import LEFT
from edgekd.bundle.inputs import BundleInputs
from edgekd.bundle.manifest import Place

ROOT = Path(__file__).parents[1] / "samples"


def files(_inputs: BundleInputs) -> Mapping[Place, bytes]:
    """All of them: they are the same for every bundle."""
    return sources()


def sources() -> dict[Place, bytes]:
    """All of them, by their place below samples/."""
    return {f"samples/{path.relative_to(ROOT).as_posix()}": path.read_bytes() for path in _paths()}


def _paths() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        if path.is_file() and not set(path.relative_to(ROOT).parts) & set(LEFT):
            yield path
