"""The tiny encoder's float file, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tinytransformer import write_onnx

    return write_onnx(tmp_path_factory.mktemp("encoder") / "float.onnx")
