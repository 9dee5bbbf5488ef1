"""Programs: what a device runs that isn't edgekd's: a user's own benchmark, and for which processor it was built."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from edgekd.device import Device
from edgekd.errors import BadInputError

NAME = "own_runner"  # what it is called on the device
MACHINES = {62: "x86_64", 183: "aarch64", 40: "armv7l", 243: "riscv64"}  # e_machine of ELF files
# By what they say to --help: a file's name proves nothing, and the flags tell which delegates were built in.
# Sources: Flags::Usage of TFLite's command_line_flags.cc; ShowUsage and CustomUsageMessage of onnxruntime's perftest.
HELPS = {
    "benchmark_model": re.compile(r"--graph=(?s:.)*--num_runs=|--num_runs=(?s:.)*--graph="),
    "onnxruntime_perf_test": re.compile(r"perf_test \[options\.\.\.\] model_path"),
}


@dataclass(frozen=True, slots=True)
class Program:
    """A user's own benchmark, with the libraries that lie in its folder."""

    path: Path
    beside: tuple[Path, ...] = ()
    origin: str = "[reach]"
    called: str = ""  # what it must be by its own words; any that can be read unless given

    def files(self) -> dict[str, Path]:
        """What is copied, by its name on the device."""
        return {NAME: self.path, **{path.name: path for path in self.beside}}

    def digest(self) -> str:
        """Of everything that decides what is measured."""
        found = hashlib.sha256()
        for path in (self.path, *self.beside):
            found.update(path.name.encode() + path.read_bytes())
        return found.hexdigest()[:16]

    def refuse_for(self, machine: str) -> None:
        """Refuse a program that was built for another processor; a script may start one."""
        with self.path.open("rb") as file:
            if file.read(2) == b"#!":
                return
        built_for = machine_of(self.path)
        if built_for != machine:
            raise BadInputError(
                f"{self.path}: found a program for {built_for}, expected one for the device's {machine}",
                "put the one that was built for it in its place, or name it: runner = '…' in [reach]",
            )


def named(device: Device) -> Program | None:
    """The program that [reach] names as ``runner``; None where that is edgekd's own, or nothing.

    Raises:
        BadInputError: no such file or folder, or one in which the program can't be told from other files.

    """
    if device.reach is None or device.reach.runner is None:
        return None
    path = runner_path(device)
    if path.is_file():
        return Program(path)
    if not path.is_dir():
        raise BadInputError(
            f"{device.path}: found no {str(path)!r}, which [reach] names as runner",
            "make one: make runner-arm64; or name TFLite's benchmark_model or onnxruntime_perf_test, or its folder",
        )
    if (path / "runner").is_file():
        return None
    libraries, programs = libraries_and_programs(path)
    if len(programs) != 1:
        raise BadInputError(
            f"{device.path}: found the runner {str(path)!r} in [reach] with {len(programs)} programs, expected a "
            "folder with 'runner' and 'libonnxruntime.so', or one program of yours and its libraries",
            "make edgekd's own: make runner-arm64; or name the program itself",
        )
    return Program(programs[0], libraries)


def libraries_and_programs(folder: Path) -> tuple[tuple[Path, ...], list[Path]]:
    """The files of a folder, apart: by their names, for a program may be a script."""
    files = sorted(each for each in folder.iterdir() if each.is_file())
    libraries = tuple(each for each in files if ".so" in each.suffixes)
    return libraries, [each for each in files if each not in libraries]


def runner_path(device: Device) -> Path:
    """What [reach] names as ``runner``; relative to the device file."""
    assert device.reach is not None  # noqa: S101 (asked before)
    path = Path(str(device.reach.runner))
    return path if path.is_absolute() else device.path.parent / path


def recognised(said: str) -> str | None:
    r"""Which benchmark says this to --help.

    >>> recognised("perf_test [options...] model_path [result_file]\nOptions:")
    'onnxruntime_perf_test'
    """
    return next((name for name, pattern in HELPS.items() if pattern.search(said)), None)


def machine_of(program: Path) -> str:
    """For which processor an ELF program was built."""
    with program.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or len(head) < 20:
        raise BadInputError(f"{program}: found no program for Linux or Android, expected one that was built for it")
    (number,) = struct.unpack("<H", head[18:20])
    return MACHINES.get(number, f"machine {number}")
