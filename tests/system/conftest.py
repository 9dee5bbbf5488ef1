"""What the samples are run with; the Makefile's test-system installs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import handbundle
import onnxruntime
import pytest

HERE = Path(__file__).parent
MODULES = HERE / "node" / "node_modules"
HEADERS = (HERE / "debian13" / "usr" / "include", Path("/usr/include"))


@pytest.fixture(scope="session")
def modules() -> Path:
    """The npm packages of tests/system/node."""
    assert MODULES.is_dir(), f"found no {MODULES}: run `make test-system`"
    return MODULES


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, weights: Path, modules: Path) -> Path:
    return _with_modules(handbundle.images(tmp_path_factory.mktemp("a bundle") / "images, all", weights), modules)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory, modules: Path) -> Path:
    return _with_modules(handbundle.texts(tmp_path_factory.mktemp("texts")), modules)


def _with_modules(bundle: Path, modules: Path) -> Path:
    (bundle / "samples/javascript/node_modules").symlink_to(modules)
    return bundle


@pytest.fixture(scope="session")
def onnxruntime_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like an unpacked release of onnxruntime: Debian's headers, and the library that Python's wheel has."""
    root = tmp_path_factory.mktemp("onnxruntime")
    (root / "lib").mkdir()
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (root / "lib/libonnxruntime.so.1").symlink_to(library)
    (root / "lib/libonnxruntime.so").symlink_to("libonnxruntime.so.1")
    headers = [folder for folder in HEADERS if (folder / "onnxruntime/onnxruntime_cxx_api.h").is_file()]
    assert headers, "found no headers of onnxruntime: run `make test-system`"
    (root / "include").symlink_to(headers[0])
    return root


@pytest.fixture(scope="session")
def cpp(images: Path, onnxruntime_root: Path) -> Path:
    """The C++ sample, built as the samples' README says, without a warning."""
    for command in handbundle.commands("C++")[:2]:
        words = command.replace("/path/to/onnxruntime", str(onnxruntime_root)).split()
        flags = {**os.environ, "CXXFLAGS": "-Werror"}
        ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=images, env=flags)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return images / "build/edgekd_sample"


@pytest.fixture(scope="session")
def kotlinc(modules: Path) -> Path:
    return modules / "kotlin-compiler/bin/kotlinc"
