"""Abilities: what can be measured on a device, and by what, found out without measuring anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from shlex import quote

from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.reach import EnergySource
from edgekd.targets import cached_runners
from edgekd.targets.base import Ability
from edgekd.targets.benchmarks import Benchmarks
from edgekd.targets.connection import Connection, words
from edgekd.targets.own_runners import UNTRIED
from edgekd.targets.own_session import OwnProgram, Room
from edgekd.targets.place import Place
from edgekd.targets.runners import ours

PACKAGES: Mapping[str, tuple[str, str]] = {
    "onnxruntime": ("onnxruntime", ".onnx files"),
    "tflite": ("ai-edge-litert", ".tflite files"),
}


def of_runners(device: Device, place: Place, own: Benchmarks, room: Room) -> Iterator[Ability]:
    """By what files of each format are run there, whether single runs are told, and on what they can run."""
    asked: list[OwnProgram] = []
    refused = False
    for runtime in device.runtimes:
        try:
            benchmark = own.of(runtime, otherwise=runs_itself(runtime, device, place))
            if benchmark is not None:
                own.ready(benchmark, room)
        except EdgekdError as error:
            refused = True
            yield said_no(runtime, f"{error.message}; {error.hint}")
            continue
        asked += [] if benchmark is None or benchmark in asked else [benchmark]
        yield _of_runtime(runtime, device, place, benchmark)
    if not asked and not refused:
        yield Ability(
            "accelerator",
            works=False,
            text="the CPU alone; others need a benchmark of yours as runner in [reach], or in "
            f"{cached_runners.place(place.machine)}",
        )
    for each in asked:
        yield Ability(
            "accelerator", works=True, text=f"{each.accelerator} is asked for, of cpu, {', '.join(each.accelerators)}"
        )
        yield from each.shortcomings


def runs_itself(runtime: str, device: Device, place: Place) -> bool:
    """Whether the device's Python has a runtime, or edgekd's own runner is there for it.

    Raises:
        BadInputError: the runner is for another machine.

    """
    if {PACKAGES[runtime][0], "numpy"} <= place.python.keys():
        return True
    return runtime == "onnxruntime" and ours(device, place.machine) is not None


def said_no(runtime: str, reason: str) -> Ability:
    """A runner that can't be used."""
    return Ability(PACKAGES[runtime][1], works=False, text=reason)


def of_source(connection: Connection, source: EnergySource | None, why: str) -> Ability:
    """Whether what tells the power gives a number."""
    if source is None:
        return Ability("energy", works=False, text=why)
    read = f"cat {quote(source.file)}" if source.file is not None else words(source.command)
    ended = connection.run(read)
    told = ended.text.strip()
    if re.fullmatch(r"[\d.eE+-]*\d", told):
        return Ability("energy", works=True, text=f"{told} {source.unit} at the moment, by {read}")
    return Ability("energy", works=False, text=f"{read} gave {told or ended.noise.strip()!r}, expected a number")


def _of_runtime(runtime: str, device: Device, place: Place, own: OwnProgram | None) -> Ability:
    package, files = PACKAGES[runtime]
    if own is not None and own.runtime == runtime:
        return Ability(files, works=True, text=f"by {own.text}; {UNTRIED}")
    if {package, "numpy"} <= place.python.keys():
        return Ability(files, works=True, text=f"by its Python, {package} {place.python[package]}")
    found = ours(device, place.machine) if runtime == "onnxruntime" else None
    if found is not None:
        return Ability(files, works=True, text=f"by {found.text}")
    there = f"there: pip install {package} numpy"
    here = "make runner-arm64" if runtime == "onnxruntime" else "runner = 'benchmark_model' in [reach]"
    kept = f"{cached_runners.BENCHMARKS[runtime]} in {cached_runners.place(place.machine)}"
    return Ability(files, works=False, text=f"nothing runs them; {there}; or here: {here}, or {kept}")
