"""Cached runners: what the user's cache has to run files with on other machines, looked at where [reach] names none.

    ~/.cache/edgekd/runners/aarch64/edgekd/           a folder as ``make runner-arm64`` gives it
    ~/.cache/edgekd/runners/aarch64/benchmark_model   the program, or a folder with it and its libraries

A folder for each kind of machine, by what ``uname -m`` says there or by Android's name of it.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekd.errors import BadInputError
from edgekd.targets.programs import Program, libraries_and_programs
from edgekd.user_cache import user_cache

ABIS = {"aarch64": "arm64-v8a", "armv7l": "armeabi-v7a"}  # Android's names
OURS = "edgekd"
BENCHMARKS = {"onnxruntime": "onnxruntime_perf_test", "tflite": "benchmark_model"}  # by what they run


def place(machine: str) -> Path:
    """Where runners for such a machine are to be put."""
    return user_cache("runners", machine)


def origin(path: Path) -> str:
    """What conditions say of where a runner lay: not whose home it was."""
    return f"the cache of runners: {path.parent.name}/{path.name}"


def ours(machine: str) -> Path | None:
    """The folder with edgekd's own runner."""
    return _found(machine, OURS)


def benchmark(machine: str, runtime: str) -> Program | None:
    """The benchmark that runs files with ``runtime``.

    Raises:
        BadInputError: it was built for another processor, or its folder has none or several programs.

    """
    path = _found(machine, BENCHMARKS[runtime])
    if path is None:
        return None
    program = _in_folder(path) if path.is_dir() else Program(path)
    program.refuse_for(machine)
    return Program(program.path, program.beside, origin(path), BENCHMARKS[runtime])


def _found(machine: str, name: str) -> Path | None:
    """An entry for such a machine; a device that calls itself something with a slash has none."""
    names = (machine, ABIS.get(machine, machine)) if re.fullmatch(r"\w+", machine) else ()
    return next((path for each in names if (path := place(each) / name).exists()), None)


def _in_folder(folder: Path) -> Program:
    libraries, programs = libraries_and_programs(folder)
    if len(programs) != 1:
        raise BadInputError(
            f"{folder}: found {len(programs)} programs in the cache of runners, expected one and its libraries",
            "leave one there, or name it in the device file: runner = '…' in [reach]",
        )
    return Program(programs[0], libraries)
