"""What runs a teacher, told by distributions whatever they are called, and without importing any."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edgekd.installed import RUN_BY, versions
from edgekd.teachers import TEACHER_FORMS


def install(folder: Path, name: str, number: str) -> None:
    """A distribution without any module, which is all that is asked for."""
    place = folder / f"{name.replace('-', '_')}-{number}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")


def test_every_form_of_a_teacher_is_run_by_something() -> None:
    assert RUN_BY.keys() == set(TEACHER_FORMS)


def test_forms_that_are_run_by_the_same_name_it_once() -> None:
    assert versions(["outputs", "model", "encoder", "outputs"]) == tuple(
        f"{name}=={version(name)}" for name in ("pyarrow", "torch", "transformers")
    )


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow-cpu", "tensorflow-macos"])
def test_tensorflow_counts_by_whatever_name_it_was_installed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert versions(["keras"]) == ("keras==absent", "tensorflow==absent")
    install(tmp_path, "keras", "3.9.0")
    install(tmp_path, name, "2.99.1")
    assert versions(["keras"]) == ("keras==3.9.0", f"{name}==2.99.1")


def test_nothing_is_imported() -> None:
    code = (
        "import sys; from edgekd.installed import RUN_BY, versions; versions(RUN_BY);"
        "print({'torch', 'transformers', 'onnxruntime', 'tensorflow', 'keras', 'pyarrow'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
