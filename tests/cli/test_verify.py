"""`edgekd verify` through a real process: whole outputs and every exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import linear
import pytest
from workshop import Built

from edgekd import cli
from edgekd.bundle import archive, checksums, signing, unpacking, verifying

PASS = f"""\
pass      checksums: 53 files are as SHA256SUMS says, and there is no other
pass      manifest: linear for paper: own, built by edgekd 0, verdict pass
pass      golden vectors: 16 real inputs with what each model gives for them,
          made on paper
pass      model.onnx: 200 bytes for x86; needs onnxruntime 1.18.0 or newer
pass      model.tflite: 500 bytes for x86; needs tflite-runtime 2.7.0,
          ai-edge-litert 1.0.1, org.tensorflow:tensorflow-lite 2.0.0,
          com.google.ai.edge.litert:litert 1.0.1, TensorFlowLiteSwift 2.1.0 or
          newer
pass      model.onnx on onnxruntime {version("onnxruntime")}: 16 vectors, OFF off at most
          (0.0001 on any is allowed), cosine 1.000000 at least
pass      model.tflite on ai-edge-litert {version("ai-edge-litert")}: 16 vectors, OFF off at
          most (0.0001 on any is allowed), cosine 1.000000 at least
PASS: bundle: 7 checks met (exit code 0)
"""
ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"^\$ (.+)$", re.MULTILINE)
Ran = subprocess.CompletedProcess[str]


def run(folder: Path, *arguments: str) -> Ran:
    return subprocess.run(
        [sys.executable, "-m", "edgekd", "verify", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return linear.write_bundle(tmp_path / "bundle")


def words(text: str) -> list[str]:
    """The words, without the figures that differ between processors."""
    return [word if "e-0" not in word else "OFF" for word in text.split()]


def test_0_a_whole_bundle(bundle: Path) -> None:
    ran = run(bundle.parent, "bundle")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert words(ran.stdout) == words(PASS)
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_1_a_changed_bundle_as_json(bundle: Path) -> None:
    (bundle / "labels.json").write_text("[]")
    ran = run(bundle.parent, "bundle", "--json")
    assert (ran.returncode, ran.stderr) == (1, "")
    found = json.loads(ran.stdout)
    assert (found["verdict"], found["exit_code"], found["bundle"]) == ("fail", 1, "bundle")
    assert found["checks"][0] == {
        "name": "checksums",
        "state": "fail",
        "text": "1 of 53 files differ",
        "details": ["labels.json: its bytes are not those that were summed"],
        "ran": False,
    }


def test_2_no_bundle(tmp_path: Path) -> None:
    ran = run(tmp_path, ".")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "error: .: found no manifest.json and no SHA256SUMS, expected a bundle\n"
        "hint: name the folder 'bundle' of a run, or its bundle.zip\n"
    )


def test_2_a_damaged_zip(bundle: Path) -> None:
    path = bundle.with_name("bundle.zip")
    path.write_bytes(archive.packed(unpacking.read(bundle))[:-100])
    ran = run(bundle.parent, "bundle.zip")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "bundle.zip: found no zip that can be read, expected a bundle" in ran.stderr


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("onnxruntime", "found 'onnxruntime', expected NAME==VERSION"),
        ("onnxruntime==1.x", "found 'onnxruntime==1.x', expected NAME==VERSION"),
        ("onnxruntime==1.18 --index-url=http://evil", "expected NAME==VERSION"),
        ("onnxrutime==1.18.0", "did you mean 'onnxruntime' or 'tflite-runtime'?"),
    ],
)
def test_2_a_runtime_that_is_none(bundle: Path, runtime: str, message: str) -> None:
    ran = run(bundle.parent, "bundle", "--runtime", runtime)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr


def test_2_a_key_that_is_not_there(bundle: Path) -> None:
    (bundle / "SHA256SUMS.sig").write_bytes(bytes(64))
    ran = run(bundle.parent, "bundle", "--key", "public.pem")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "public.pem: found no readable file (No such file or directory), expected a public key" in ran.stderr


def shown(page: str, word: str) -> list[str]:
    """The page's commands that begin with ``word``, but those that need a network."""
    found = COMMAND.findall((ROOT / page).read_text(encoding="utf-8"))
    return [each for each in found if each.startswith(word) and "--runtime" not in each]


def test_the_commands_of_the_pages_run(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bundle in place of a run's own, signed with the key that the page makes."""
    here, run_folder = bundle.parent, bundle.parent / "artifacts/latest"
    for line in shown("docs/verify.md", "openssl")[:2]:
        subprocess.run(shlex.split(line), cwd=here, check=True, capture_output=True)
    sums = (bundle / checksums.NAME).read_bytes()
    (bundle / checksums.SIGNATURE).write_bytes(signing.sign(sums, here / "key.pem"))
    shutil.copytree(bundle, run_folder / "bundle")
    (here / "bundle.zip").write_bytes(archive.packed(unpacking.read(bundle)))
    lines = [*shown("docs/verify.md", "edgekd verify"), *shown("README.md", "edgekd verify")]
    assert len(lines) == 5
    monkeypatch.chdir(here)
    for line in lines:
        assert cli.run(line.split()[1:]) == 0, line
    shutil.copy(here / "public.pem", bundle)
    for line in (*shown("docs/verify.md", "openssl")[2:], *shown("docs/verify.md", "sha256sum")):
        subprocess.run(shlex.split(line), cwd=bundle, check=True, capture_output=True)


def test_the_bundle_of_a_build_passes_as_folder_and_as_zip(built: Built) -> None:
    folder = built.workshop.folder / built.run_folder
    for name in ("bundle", "bundle.zip"):
        found = verifying.verify(folder / name)
        assert found.exit_code == 0, list(found.lines())
        assert {check.state for check in found.checks} == {"pass"}
        assert sum(check.ran for check in found.checks) == 2
