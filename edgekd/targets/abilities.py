"""Abilities: what can be measured on a device, and by what, found out without measuring anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from shlex import quote

from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.reach import EnergySource
from edgekd.targets.base import Ability
from edgekd.targets.connection import Connection, words
from edgekd.targets.own_session import OwnProgram, Room
from edgekd.targets.place import Place
from edgekd.targets.runners import CRunner, folder_for

PACKAGES: Mapping[str, tuple[str, str]] = {
    "onnxruntime": ("onnxruntime", ".onnx files"),
    "tflite": ("ai-edge-litert", ".tflite files"),
}


def of_runners(device: Device, place: Place, own: OwnProgram | None, room: Room) -> Iterator[Ability]:
    """By what files of each format are run there, whether single runs are told, and on what they can run."""
    said = ""
    if own is not None:
        try:
            own.recognise(room)
        except EdgekdError as error:
            said = f"{error.message}; {error.hint}"
    for runtime in device.runtimes:
        yield said_no(runtime, said) if said else _of_runtime(runtime, device, place, own)
    if own is None:
        yield Ability(
            "accelerator", works=False, text="the CPU alone; others need a benchmark of yours as runner in [reach]"
        )
    elif not said:
        yield Ability(
            "accelerator", works=True, text=f"{own.accelerator} is asked for, of cpu, {', '.join(own.accelerators)}"
        )
        yield from own.shortcomings


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
        return Ability(files, works=True, text=f"by {own.conditions()['runner']}; {own.conditions()['runner_note']}")
    if {package, "numpy"} <= place.python.keys():
        return Ability(files, works=True, text=f"by its Python, {package} {place.python[package]}")
    if runtime == "onnxruntime":
        try:
            folder = folder_for(device, place.machine)
            if folder is not None:
                CRunner(folder, place.machine)
                return Ability(files, works=True, text=f"by edgekd's own runner in {folder}")
        except EdgekdError as error:
            return Ability(files, works=False, text=f"{error.message}; {error.hint}")
    there = f"there: pip install {package} numpy"
    here = "make runner-arm64" if runtime == "onnxruntime" else "runner = 'benchmark_model' in [reach]"
    return Ability(files, works=False, text=f"nothing runs them; {there}; or here: {here}")
