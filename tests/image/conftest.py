"""The images, built once; what they are built in stays in .system for the next time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from containers import BASE, Engine, pip_settings

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def engine() -> Engine:
    made = Engine(ROOT / ".system" / "image")
    made.base()
    return made


def built(engine: Engine, target: str) -> str:
    options = ["--target", target, "--build-arg", f"BASE={BASE}", *pip_settings(engine.folder)]
    if "TORCH_INDEX" in os.environ:
        options += ["--build-arg", f"TORCH_INDEX={os.environ['TORCH_INDEX']}"]
    engine.build(ROOT, f"localhost/edgekd:{target}", *options)
    return f"localhost/edgekd:{target}"


@pytest.fixture(scope="session")
def verify(engine: Engine) -> str:
    return built(engine, "verify")


@pytest.fixture(scope="session")
def whole(engine: Engine) -> str:
    return built(engine, "build")
