from pathlib import Path

import pytest

from edgekd import device
from edgekd.targets import isa

BOARD = """\
title = "A board"
arch = "x86_64"
runtimes = ["onnxruntime"]

[facts.isa]
value = ["avx2", "EXTENSION"]
source = "the kernel"
"""


@pytest.mark.parametrize(("extension", "expected"), [("vnni", "x86-vnni"), ("fma", "x86")])
def test_a_boards_instruction_set_is_that_of_its_file(extension: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text(BOARD.replace("EXTENSION", extension))
    assert isa.target_isa(device.load(str(tmp_path / "board.toml"))) == expected


def test_a_phones_is_arm() -> None:
    assert isa.target_isa(device.load("pixel8")) == "arm64"


@pytest.mark.parametrize(
    ("machine", "extensions", "expected"),
    [
        ("aarch64", "asimd", "arm64"),
        ("arm64", "", "arm64"),
        ("x86_64", "avx2 avx512_vnni", "x86-vnni"),
        ("x86_64", "avx2", "x86"),
    ],
)
def test_this_hosts_is_what_it_runs_on(
    machine: str, extensions: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isa.platform, "machine", lambda: machine)
    monkeypatch.setattr(isa, "host_conditions", lambda: {"isa": extensions})
    assert isa.target_isa(device.load("host")) == isa.host_isa() == expected
