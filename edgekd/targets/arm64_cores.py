"""Which emulated core stands for a device."""

from __future__ import annotations

from edgekd.device import Device
from edgekd.errors import BadInputError

CPUS = {"i8mm": "max", "dotprod": "cortex-a76", "": "cortex-a72"}  # what qemu calls a core with these instructions


def cpu_of(device: Device) -> str:
    """The emulated core with the device's integer instructions."""
    return next(cpu for extension, cpu in CPUS.items() if not extension or device.has(extension))


def check_emulated(device: Device, option: str) -> None:
    """Refuse to emulate a device that is no Arm, as ``option`` asks.

    Raises:
        BadInputError: so it is.

    """
    if device.arch != "arm64":
        raise BadInputError(
            f"{device.path}: found a device of arch {device.arch!r} with {option}, expected 'arm64'",
            f"leave {option.partition(' ')[0]} out, or name an Arm device",
        )
