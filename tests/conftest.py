"""One tiny pipeline, built once a session through the real command line; most tests look at what that left."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: two threads on two shared cores can be 20 times slower

from collections.abc import Iterator
from pathlib import Path

import pytest
import warm
from workshop import Built, Workshop, furnish


@pytest.fixture(scope="session", autouse=True)
def warm_process() -> Iterator[None]:
    """Whoever starts it, it ends with the session."""
    yield
    warm.end()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny teacher's weights."""
    import tinynet

    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    tinynet.write_teacher(path)
    return path


@pytest.fixture
def workshop(tmp_path: Path, weights: Path) -> Workshop:
    """A fresh working folder with an empty store."""
    return furnish(tmp_path, weights)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Built:
    """The tiny pipeline, built for the Pixel 8 in a folder whose name has a space."""
    workshop = furnish(tmp_path_factory.mktemp("a shop"), weights)
    made = Built(
        workshop, workshop.run("build", workshop.pipeline("tiny"), "--device", "pixel8", "--quick", "-o", "out")
    )
    assert made.ran.code in (0, 1), made.ran.err
    return made
