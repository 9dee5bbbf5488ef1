"""Build edgekd's own runner into artifacts/runner/MACHINE, beside the onnxruntime library of a wheel from PyPI.

    python scripts/make_runner.py           for this machine, with the library that is installed here
    python scripts/make_runner.py --arm64   for 64-bit Arm, with every library that it needs and their loader

The latter needs Debian's gcc-aarch64-linux-gnu and libstdc++6-arm64-cross. It has run in an emulator, never on Android.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import onnxruntime

from edgekd.targets.runners import BUILT

SOURCE = Path(__file__).parent.parent / "edgekd" / "targets" / "runner" / "runner.c"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
CROSS = Path("/usr/aarch64-linux-gnu/lib")
LIBRARIES = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libgcc_s.so.1", "libstdc++.so.6")
LOADER = "ld-linux-aarch64.so.1"
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")


def build(folder: Path, *, arm64: bool) -> Path:
    """Put the runner and its libraries into ``folder``."""
    compiler = "aarch64-linux-gnu-gcc" if arm64 else "gcc"
    if shutil.which(compiler) is None:
        package = "gcc-aarch64-linux-gnu libstdc++6-arm64-cross" if arm64 else "gcc"
        sys.exit(f"error: found no {compiler}\nhint: apt-get install {package}")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, *FLAGS, "-o", folder / "runner", SOURCE, "-ldl"], check=True)
    if arm64:
        download(folder / "libonnxruntime.so")
        for name in (*LIBRARIES, LOADER):
            shutil.copy(CROSS / name, folder / name)
    else:
        shutil.copy(installed(), folder / "libonnxruntime.so")
    return folder


def installed() -> Path:
    """The library of the onnxruntime that is installed here."""
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    return library


def download(target: Path) -> None:
    """The library of the same version for 64-bit Arm, out of its wheel."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", scratch]
        command += [word for name in PLATFORMS for word in ("--platform", name)]
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        wanted = f"onnxruntime=={version('onnxruntime')}"
        subprocess.run([*command, "--python-version", python, wanted], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            name = next(each for each in archive.namelist() if "/libonnxruntime.so" in each)
            target.write_bytes(archive.read(name))


def main() -> None:
    parser = argparse.ArgumentParser(description="Build edgekd's own runner.")
    parser.add_argument("--arm64", action="store_true", help="for 64-bit Arm, with everything that it needs")
    parser.add_argument("--output", type=Path, help="the folder; artifacts/runner/MACHINE by default")
    given = parser.parse_args()
    machine = "aarch64" if given.arm64 else platform.machine()
    print(build(given.output or BUILT / machine, arm64=given.arm64))


if __name__ == "__main__":
    main()
