"""The least versions that a manifest claims, at their edge: each really works, and the one before does not.

Each test downloads a runtime into a throw-away environment (make test-system).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import linear
import pytest

from edgekd.bundle.verification import Check
from edgekd.bundle.verifying import Asked, verify
from edgekd.errors import StageError

pytestmark = pytest.mark.system


def on(bundle: Path, runtime: str) -> Check:
    """The check of the one file that ``runtime`` runs."""
    name, _, version = runtime.partition("==")
    checks = verify(bundle, Asked(runtimes=(runtime,))).checks
    (found,) = (check for check in checks if check.name.endswith(f" on {name} {version}"))
    return found


def claimed(bundle: Path, number: int, runtime: str) -> str:
    from edgekd.bundle import manifest

    model = manifest.read(bundle / "manifest.json").models[number]
    return next(each.version for each in model.minimum if each.runtime == runtime)


def test_the_least_onnxruntime_runs_the_file(whole: Path) -> None:
    assert claimed(whole, 0, "onnxruntime") == "1.18.0"
    assert on(whole, "onnxruntime==1.18.0").state == "pass"


def test_the_onnxruntime_before_it_refuses_the_file(whole: Path) -> None:
    found = on(whole, "onnxruntime==1.17.3")
    assert found.state == "fail"
    assert "Unsupported model IR version: 10, max supported IR version: 9" in found.text


def test_the_newest_onnxruntime_for_this_python_runs_the_file(whole: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "onnxruntime"], capture_output=True, text=True, check=True
    )
    newest = told.stdout.split("(", 1)[1].split(")", 1)[0]
    assert on(whole, f"onnxruntime=={newest}").state == "pass"


def test_the_least_litert_runs_the_file(whole: Path) -> None:
    version = claimed(whole, 1, "ai-edge-litert")
    assert on(whole, f"ai-edge-litert=={version}").state == "pass"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="tflite-runtime 2.14.0 has no wheel for newer Pythons")
def test_the_last_tflite_runtime_runs_the_file(whole: Path) -> None:
    assert on(whole, "tflite-runtime==2.14.0").state == "pass"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="tflite-runtime 2.14.0 has no wheel for newer Pythons")
def test_an_operator_version_that_tflite_runtime_never_got_is_refused_by_it(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    model = linear.write_tflite(tmp_path / "files/model.tflite", version=12)
    bundle = linear.write_bundle(tmp_path / "bundle", model)
    (bundle / "model.tflite").write_bytes(model.read_bytes())
    linear.seal(bundle)
    found = on(bundle, "tflite-runtime==2.14.0")
    assert found.state == "fail"
    assert "'FULLY_CONNECTED' version '12'" in found.text


def test_a_version_that_does_not_exist_says_what_pip_said(whole: Path) -> None:
    with pytest.raises(StageError, match=r"No matching distribution found for onnxruntime==0\.0\.1") as caught:
        verify(whole, Asked(runtimes=("onnxruntime==0.0.1",)))
    assert caught.value.exit_code == 3
