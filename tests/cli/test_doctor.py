"""edgekd doctor: what is here, what is missing and how to get it, and whether a device is reached."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from workshop import Ran

from edgekd import cli, doctor

Command = Callable[..., Ran]


@pytest.fixture
def edgekd(capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str) -> Ran:
        code = cli.run(["doctor", *arguments])
        return Ran(code, *capsys.readouterr())

    return command


def test_it_names_what_is_installed_with_versions(edgekd: Command) -> None:
    ran = edgekd()
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith(f"edgekd {version('edgekd')}, Python 3.")
    (build,) = [line for line in lines if line.split()[:2] == ["ok", "build"]]
    assert f"torch {version('torch')}" in build
    assert {line.split()[0] for line in lines[1:]} <= {"ok", "missing"}


def test_every_extra_for_users_has_a_line() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert {name for name, packages in extras.items() if packages} - {"dev", "docs"} == doctor.FEATURES.keys() - {""}


def test_what_is_missing_is_named_with_the_command(
    edgekd: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in an environment whose metadata ask for other versions, and whose PATH is empty."""
    asked = ["numpy>=1", 'torch>=99; extra == "build"', 'no-such-package<2,>=1; extra == "report"']
    monkeypatch.setattr(doctor, "requires", lambda _name: asked)
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = edgekd().out.splitlines()[1:]
    assert lines[0] == (
        f"ok       base       showing, verifying and comparing; running .onnx files  (numpy {version('numpy')})"
    )
    assert lines[1] == (
        "missing  build      training, exporting and quantizing: edgekd build: pip install 'edgekd[build]'  "
        f"(torch {version('torch')}, which isn't >=99)"
    )
    (report,) = [line for line in lines if line.split()[1] == "report"]
    assert report.endswith("pip install 'edgekd[report]'  (no-such-package <2,>=1)")
    (sign,) = [line for line in lines if line.split()[1] == "sign"]
    assert sign.endswith("pip install 'edgekd[sign]'  (the edgekd that is installed was made before this extra)")
    assert lines[-3:-1] == [
        "missing  adb        measuring on Android devices: apt-get install adb  (no program 'adb')",
        "missing  ssh        measuring over ssh: apt-get install openssh-client  (no program 'ssh')",
    ]


def test_devices_are_reached_predicted_or_neither(edgekd: Command, tmp_path: Path) -> None:
    ran = edgekd("--device", "host", "--device", "pixel8")
    assert ran.code == 0
    host, phone = ran.out.splitlines()[-2:]
    assert host.startswith("reached  host by host: cpu: ")
    assert phone.startswith("ok       pixel8 isn't measured, its figures are predicted; a [reach] table in ")
    text = (Path(__file__).parents[2] / "devices" / "raspberrypi4.toml").read_text(encoding="utf-8")
    away = tmp_path / "away.toml"
    away.write_text(text + '\n[reach]\ntarget = "ssh"\nhost = "127.0.0.1"\nport = 1\n')
    ran = edgekd("--device", str(away))
    assert ran.code == 3
    assert ran.err.startswith("error: away can't be reached: ")
    assert "hint: " in ran.err
    assert edgekd("--device", "pixel99").code == 2


@pytest.mark.parametrize(
    ("found", "bound", "holds"),
    [
        *(("2.15.0", "<2.15", False), ("2.14.9", "<2.15", True), ("3.0", "!=3", False), ("1.4.2", "~=1.4", True)),
        *(("2.0", "~=1.4", False), ("0.1.0", "==0.1.0", True), ("5", "<=5.0", True), ("5.1", ">5", True)),
    ],
)
def test_bounds(found: str, bound: str, holds: bool) -> None:  # noqa: FBT001
    assert doctor._holds(found, bound) is holds
