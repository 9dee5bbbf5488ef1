"""The instruction set that INT8 files are made for: it decides how they store their numbers."""

from __future__ import annotations

import platform
from typing import Literal

from edgekd.device import Device
from edgekd.profile.conditions import host_conditions

Isa = Literal["arm64", "x86-vnni", "x86"]


def target_isa(device: Device) -> Isa:
    """The instruction set of ``device``."""
    if device.is_host:
        return host_isa()
    if device.arch == "arm64":
        return "arm64"
    if device.arch == "wasm":
        return "x86-vnni"  # its kernels add up products of 8 bits in 16 or more, so that none needs weights of 7 bits
    return "x86-vnni" if device.has("vnni") else "x86"


def host_isa() -> Isa:
    """The instruction set of this machine."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "arm64"
    return "x86-vnni" if "vnni" in host_conditions()["isa"] else "x86"
