"""What a measurement on this host was taken under: the processor, its state, and the versions that ran."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"
# The extensions that decide how fast and how exact int8 and float kernels are, as the Linux kernel names them
# (asimddp is dotprod, asimdhp is fp16).
ISA = (
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16"),
    *("asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
RUNTIMES = ("numpy", "onnxruntime", "ai-edge-litert")
CPUINFO = Path("/proc/cpuinfo")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def host_conditions(threads: int = 1) -> Mapping[str, str]:
    """Return the facts and the present state of this host as text; 'unknown' where the system doesn't say."""
    return {
        **_stable_facts(),
        "threads": str(threads),
        "governor": _read(GOVERNOR),
        "load_average_1min": _load_average(),
        "temperature_celsius": _temperature(),
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()}",
    }


def host_fingerprint() -> str:
    """Return what must be equal for two measurements on a host to be comparable; the same in every process.

    Processor, extensions, cores and the versions of the runtimes, without load, clock or temperature: a key for caches.
    """
    return "; ".join(f"{name}: {value}" for name, value in _stable_facts().items())


def cpu_model(cpuinfo: str) -> str:
    r"""Return the processor's name from the text of /proc/cpuinfo; Arm kernels give numbers of maker and part instead.

    >>> cpu_model("processor : 0\nmodel name\t: Some CPU @ 2.50GHz\n")
    'Some CPU @ 2.50GHz'
    >>> cpu_model("CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n")
    'Arm parts 0x41:0xd05, 0x41:0xd0b'
    """
    named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    if named:
        return named[1].strip()
    makers = re.findall(r"^CPU implementer\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
    parts = re.findall(r"^CPU part\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
    pairs = sorted({f"{maker}:{part}" for maker, part in zip(makers, parts, strict=False)})
    return f"Arm parts {', '.join(pairs)}" if pairs else platform.processor() or platform.machine() or UNKNOWN


def isa_flags(cpuinfo: str) -> tuple[str, ...]:
    r"""Return those of ISA that every core has.

    >>> isa_flags("flags\t: fpu avx2 avx512_vnni\n\nflags\t: fpu avx2\n")
    ('avx2',)
    """
    cores = [set(line.split()) for line in re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)]
    return tuple(flag for flag in ISA if cores and all(flag in core for core in cores))


def _stable_facts() -> dict[str, str]:
    import psutil

    count_cores: Callable[..., int | None] = psutil.cpu_count
    cpuinfo = _read(CPUINFO)
    return {
        "cpu": cpu_model(cpuinfo),
        "isa": " ".join(isa_flags(cpuinfo)) or UNKNOWN,
        "physical_cores": str(count_cores(logical=False) or UNKNOWN),
        **{name: _version(name) for name in RUNTIMES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def _load_average() -> str:
    try:
        return f"{os.getloadavg()[0]:.2f}"
    except (AttributeError, OSError):  # Windows has none
        return UNKNOWN


def _temperature() -> str:
    """The hottest sensor in degrees Celsius; virtual machines and most systems other than Linux have none."""
    import psutil

    sensors: Mapping[str, Any] = getattr(psutil, "sensors_temperatures", dict)()
    readings = [reading.current for chip in sensors.values() for reading in chip if reading.current]
    return f"{max(readings):.0f}" if readings else UNKNOWN
