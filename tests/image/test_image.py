"""The images that the Dockerfile makes, built and run: `make test-image`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import workshop
from containers import BASE, Engine
from workshop import Built

pytestmark = pytest.mark.image
CALLER = 4321  # a user whom no /etc/passwd knows


@pytest.fixture
def shop(tmp_path: Path, weights: Path) -> Path:
    """The tiny pipeline in a folder of the caller's."""
    shop = workshop.furnish(tmp_path, weights)
    shop.pipeline("tiny")
    return owned(tmp_path)


def owned(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, CALLER, CALLER)
    return folder


def run(engine: Engine, tag: str, folder: Path, *arguments: str) -> tuple[int, str, str]:
    with engine.start(tag, folder, *arguments, user=f"{CALLER}:{CALLER}") as process:
        out, err = process.communicate(timeout=1800)
    return process.returncode, out, err


def test_the_image_for_checking_is_small(engine: Engine, verify: str) -> None:
    assert engine.size_bytes(verify) - engine.size_bytes(BASE) <= 400e6


def test_exit_codes_reach_the_caller(engine: Engine, verify: str, shop: Path) -> None:
    code, _, err = run(engine, verify, shop, "build", "tiny.toml", "--device", "pixel8")
    assert code == 2
    assert "pip install 'edgekd[build" in err  # the small image has no torch, and says what is missing


def test_a_bundle_is_checked_with_the_small_image(engine: Engine, verify: str, built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.workshop.folder / built.run_folder / "bundle", tmp_path / "bundle")
    code, out, err = run(engine, verify, owned(tmp_path), "verify", "bundle")
    assert code == 0, out + err
    assert out.splitlines()[-1] == "PASS: bundle: 7 checks met (exit code 0)"
    name = "model.onnx"
    (tmp_path / "bundle" / name).write_bytes(b"0" + (tmp_path / "bundle" / name).read_bytes()[1:])
    code, out, err = run(engine, verify, tmp_path, "verify", "bundle")
    assert code == 1, out + err


def test_the_default_build_passes_without_any_argument(engine: Engine, whole: str, tmp_path: Path) -> None:
    code, out, err = run(engine, whole, owned(tmp_path))
    assert code == 0, out + err
    assert "PASS: default on pixel8" in out
    written = {path.name for path in (tmp_path / "artifacts/latest/").iterdir()}
    assert {"model.onnx", "model.tflite", "bundle.zip", "report.html", "report.json"} <= written


def test_a_build_runs_and_its_files_are_the_callers(engine: Engine, whole: str, shop: Path) -> None:
    code, out, err = run(engine, whole, shop, "build", "tiny.toml", "--device", "pixel8", "--quick", "--json", "-q")
    assert code in (0, 1), err
    report = json.loads(out)
    assert report["exit_code"] == code
    assert {"onnx_int8", "tflite_int8"} <= report["quality"].keys()
    written = [shop / "artifacts", *(shop / "artifacts").rglob("*")]
    assert {path.lstat().st_uid for path in written} == {CALLER}
    missed = run(engine, whole, shop, "build", "tiny.toml", "--device", "pixel8", "--quick", "--limit", "size <= 1 kB")
    assert missed[0] == 1, missed[2]


def test_ctrl_c_ends_with_130_and_keeps_what_was_finished(engine: Engine, whole: str, shop: Path) -> None:
    process = engine.start(whole, shop, "build", "tiny.toml", "--device", "pixel8", user=f"{CALLER}:{CALLER}")
    assert process.stderr is not None
    said = process.stderr.readline()  # the first step's line
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, said + err
    assert "finished steps are kept" in err


def test_without_a_user_it_has_no_rights(engine: Engine, verify: str, tmp_path: Path) -> None:
    with engine.start(verify, tmp_path, "--version") as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out.split()[0]) == (0, "edgekd,"), err
    asked = ["podman", "image", "inspect", "--format", "{{.Config.User}} {{.Config.Entrypoint}}", verify]
    done = subprocess.run(asked, env=engine.environment(), check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "10001:10001 [edgekd]"
