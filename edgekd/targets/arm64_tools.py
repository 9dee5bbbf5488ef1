"""What runs Arm programs here: qemu-user, a Debian root with Python, and the runtimes' wheels for aarch64.

Debian's packages are fetched by apt from an archive of its own (trixie) into a folder of its own: nothing is installed,
no rights are needed, and apt checks the archive's signature. Everything is kept in the user's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekd.errors import StageError
from edgekd.user_cache import user_cache

SUITE, PYTHON = "trixie", "3.13"
MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LEAST_QEMU = 10  # 7.2 of Debian bookworm computes wrong int8 results in XNNPACK with '-cpu max'
ARM_PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6", "libgomp1")
QEMU_PACKAGE, QEMU = "qemu-user:amd64", "./usr/bin/qemu-aarch64"
WHEELS = ("onnxruntime", "ai-edge-litert", "numpy", "flatbuffers", "protobuf")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
NETWORK = "this needs a network once, about 150 MB; afterwards it lies in {} and works without one"


@dataclass(frozen=True, slots=True)
class Tools:
    """An emulator with all that it runs."""

    base: Path  # qemu and the Debian root
    wheels: Path
    qemu_version: str

    def command(self, cpu: str, *arguments: str) -> list[str]:
        """Python on the emulated ``cpu``."""
        root = self.base / "root"
        return [
            str(self.base / "qemu-aarch64"),
            "-cpu",
            cpu,
            "-L",
            str(root),
            f"{root}/usr/bin/python{PYTHON}",
            *arguments,
        ]


def ready() -> Tools:
    """The tools out of the cache, or fetched into it.

    Raises:
        StageError: another kind of machine, a program that is missing, no network, or an emulator that is too old.

    """
    _check_machine()
    folder = cache()
    base = _kept(folder / SUITE, _fetch_base)
    found = qemu_version(base / "qemu-aarch64")
    wanted = [f"{name}=={each}" for name in WHEELS if (each := _version(name))]
    key = hashlib.sha256(" ".join([PYTHON, *wanted]).encode()).hexdigest()[:12]
    return Tools(base, _kept(folder / f"wheels-{key}", lambda target: _fetch_wheels(target, wanted)), found)


def cache() -> Path:
    """Where they are kept: $XDG_CACHE_HOME/edgekd/arm64, by default below ~/.cache."""
    return user_cache("arm64")


def _check_machine() -> None:
    found = f"{platform.system()} {platform.machine()}"
    if found != "Linux x86_64":
        raise StageError(
            f"--parity arm64: found {found}, expected Linux x86_64: qemu's program is fetched for that alone",
            "on an Arm machine no emulator is needed: build with --device host there",
        )


def _kept(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder ``target``, made whole by one rename where it isn't there; one process makes it, others wait."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial:
                made = Path(partial) / target.name
                made.mkdir()
                make(made)
                made.rename(target)
    return target


def _fetch_base(target: Path) -> None:
    _check_programs()
    with tempfile.TemporaryDirectory(prefix="edgekd-apt-") as scratch:
        debs = _download_debs(Path(scratch))
        (target / "root" / "usr" / "lib").mkdir(parents=True)
        (target / "root" / "lib").symlink_to("usr/lib")
        for deb in debs:
            if deb.name.startswith("qemu-user_"):
                _take_qemu(deb, target / "qemu-aarch64")
            else:
                _call(["dpkg-deb", "-x", str(deb), str(target / "root")], "a Debian package can't be unpacked")
    shutil.rmtree(target / "root" / "usr" / "share")


def _check_programs() -> None:
    needed = {"apt-get": "apt", "dpkg-deb": "dpkg"}
    missing = [package for name, package in needed.items() if shutil.which(name) is None]
    missing += [] if KEYRING.is_file() else ["debian-archive-keyring"]
    if missing:
        raise StageError(
            f"--parity arm64: found no {' and no '.join(missing)}, with which qemu {LEAST_QEMU} is fetched from Debian",
            f"on Debian or Ubuntu: apt-get install {' '.join(missing)}",
        )


def _download_debs(scratch: Path) -> list[Path]:
    """Fetch the packages with what they depend on, as if into an empty system."""
    for folder in ("lists/partial", "archives/partial"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "status").touch()
    (scratch / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n", encoding="utf-8")
    options = {
        "Dir::State": scratch,
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch,
        "Dir::Etc::SourceList": scratch / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "APT::Architecture": "arm64",
        "APT::Sandbox::User": "",  # the folder belongs to whoever runs this
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "-qq", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    apt += ["-o", "APT::Architectures::=arm64", "-o", "APT::Architectures::=amd64"]
    failed = "qemu and an Arm Python can't be fetched from Debian"
    _call([*apt, "update"], failed)
    _call([*apt, "install", "-y", "--download-only", "--no-install-recommends", *ARM_PACKAGES, QEMU_PACKAGE], failed)
    return sorted((scratch / "archives").glob("*.deb"))


def _take_qemu(deb: Path, target: Path) -> None:
    """One program of 16 MB out of a package of 500."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as packed:
            member = next((each for each in packed if each.name == QEMU), None)
            content = packed.extractfile(member) if member is not None else None
            if content is None:
                raise StageError(f"{deb.name}: found no {QEMU} in it")
            target.write_bytes(content.read())
        process.kill()  # the rest is not needed
    target.chmod(0o755)


def qemu_version(program: Path) -> str:
    """The emulator's version.

    Raises:
        StageError: it is too old, or no emulator.

    """
    said = _call([str(program), "--version"], f"{program} can't be started")
    found = re.search(r"version ([\d.]+)", said)
    text = found[1] if found else said.strip() or "nothing"
    if not found or int(text.split(".")[0]) < LEAST_QEMU:
        raise StageError(
            f"{program}: found version {text}, expected at least {LEAST_QEMU}: older ones compute int8 wrongly",
            f"remove {program.parent}: the next build fetches it again",
        )
    return text


def _fetch_wheels(target: Path, wanted: Sequence[str]) -> None:
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    with tempfile.TemporaryDirectory(prefix="edgekd-wheels-") as scratch:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "download"]
        _call(
            [*pip, "--no-deps", "--only-binary=:all:", "--python-version", PYTHON, *platforms, "-d", scratch, *wanted],
            f"the runtimes can't be fetched for aarch64 and Python {PYTHON}",
        )
        for wheel in sorted(Path(scratch).glob("*.whl")):
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(target)  # noqa: S202 (zipfile leaves no target folder, and pip has checked the digest)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _call(command: list[str], failed: str) -> str:
    """What a program prints."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    except OSError as error:
        raise StageError(f"--parity arm64: {failed}: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in said if line.startswith(("E:", "ERROR"))] or said[-1:]
        raise StageError(f"--parity arm64: {failed}: {' '.join(errors)[:400]}", NETWORK.format(cache()))
    return done.stdout
