"""What docs/bundle.md and README.md say of the bundle: each file, each field, and the commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel
from workshop import Built

from edgekd import cli
from edgekd.bundle import manifest, signing

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/bundle.md")
MODELS = (
    *(manifest.Manifest, manifest.Model, manifest.Tensor, manifest.Figure, manifest.Minimum, manifest.Golden),
    *(manifest.ImagePreprocessing, manifest.TextPreprocessing, manifest.OtherPreprocessing),
    *(manifest.Postprocessing, manifest.Licence),
)
# Torch and the other packages of the extras, as if they weren't installed.
BASE_ONLY = """\
import sys
absent = "torch transformers tokenizers PIL safetensors ai_edge_litert sklearn pyarrow accelerate cryptography"
sys.modules.update(dict.fromkeys(absent.split()))
from edgekd import cli
sys.exit(cli.run(sys.argv[1:]))
"""


def page() -> str:
    return (ROOT / "docs/bundle.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    found = [re.findall(r"^\$ (edgekd bundle .*)$", (ROOT / name).read_text(), re.MULTILINE) for name in PAGES]
    return [command for each in found for command in each]


@pytest.mark.parametrize("model", MODELS)
def test_every_field_of_the_manifest_is_explained(model: type[BaseModel]) -> None:
    named = set(re.findall(r"`(\w+)`", page()))
    assert set(model.model_fields) - named == set()


def test_every_file_of_a_bundle_is_explained(built: Built) -> None:
    bundle = built.workshop.folder / built.run_folder / "bundle"
    rows = re.findall(r"^\| (`.*?) \|", page(), re.MULTILINE)
    places = {place for row in rows for place in re.findall(r"`([\w./]+)`", row)}
    files = [path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file()]
    explained = [{path.as_posix(), *(f"{folder.as_posix()}/" for folder in path.parents)} & places for path in files]
    assert [path for path, rows in zip(files, explained, strict=True) if not rows] == []


@pytest.mark.parametrize("command", commands())
def test_a_command_runs(command: str, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "artifacts").symlink_to(built.output)
    monkeypatch.chdir(tmp_path)
    before = set((built.output / "latest").resolve().iterdir())
    assert cli.run(shlex.split(command)[1:]) == 0
    assert set((built.output / "latest").resolve().iterdir()) == before


def test_the_base_install_is_enough_to_bundle_again(built: Built, tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE_ONLY)
    run = built.workshop.folder / built.run_folder
    command = [sys.executable, str(tmp_path / "base.py"), "bundle", str(run), "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "bundle.zip").read_bytes() == (run / "bundle.zip").read_bytes()


def test_a_signature_is_of_the_checksums_and_the_same_each_time(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = Ed25519PrivateKey.generate()
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*plain))
    half = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(key.public_key().public_bytes(*half))
    run = built.workshop.folder / built.run_folder
    for name in ("one", "other"):
        assert cli.run(["bundle", str(run), "-o", str(tmp_path / name), "--sign", str(tmp_path / "key.pem")]) == 0
    assert (tmp_path / "one/bundle.zip").read_bytes() == (tmp_path / "other/bundle.zip").read_bytes()
    bundle = tmp_path / "one/bundle"
    sums, signature = ((bundle / name).read_bytes() for name in ("SHA256SUMS", "SHA256SUMS.sig"))
    assert signing.check(sums, signature, tmp_path / "public.pem")
    assert not signing.check(sums + b"\n", signature, tmp_path / "public.pem")
    assert b"SHA256SUMS.sig" not in sums
    capsys.readouterr()
    assert cli.run(["bundle", str(run), "-o", str(tmp_path / "x"), "--sign", str(tmp_path / "public.pem")]) == 2
    assert "found a public key, expected a private ed25519 key" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
