"""What a device told of itself, as facts: each with where it was read, or why it stays unknown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgekd.errors import BadInputError
from edgekd.profile.conditions import cpu_model, isa_flags
from edgekd.starting.cores import name_of, of_register

Parts = Mapping[str, str]
ARCHS = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64"}
# As device files call them.
EXTENSIONS = {"asimddp": "dotprod", "asimdhp": "fp16", "avx512_vnni": "vnni", "avx_vnni": "vnni"}
CLOCKS_HZ = 1e7, 1e10  # what a device file takes


@dataclass(frozen=True, slots=True)
class Told:
    """A fact as TOML, and where on the device it stands; without a value, why it is unknown."""

    value: str
    place: str


def arch_of(parts: Parts) -> str:
    """The architecture as device files call it.

    Raises:
        BadInputError: one that edgekd doesn't know, or no answer.

    """
    found = parts.get("machine", "")
    if found not in ARCHS:
        raise BadInputError(
            f"found a device that calls itself {found!r} (uname -m), expected one of {', '.join(ARCHS)}",
            "32-bit systems are not measured or predicted",
        )
    return ARCHS[found]


def title_of(parts: Parts, name: str) -> str:
    """What the device calls itself; ``name`` where it doesn't."""
    phone = " ".join(_said(parts, "ro.product.manufacturer", "ro.product.model"))
    return _clean(phone or next(iter(_said(parts, "board", "product")), "")) or name


def facts_of(parts: Parts) -> dict[str, Told]:
    """All facts of a device file, by name."""
    return {
        "soc": _soc(parts),
        "clusters": _clusters(parts),
        "isa": _isa(parts),
        "ram": _ram(parts),
        "memory_bandwidth": Told("", "no device tells it: a data sheet does"),
        "battery": _battery(parts),
        "os": _os(parts),
        "power": Told("", "measure it, or find a published figure"),
    }


def quoted(text: str) -> str:
    r"""One line of text as a TOML string, whatever the device said.

    >>> quoted('a "b" \\ c')
    '"a \\"b\\" \\\\ c"'
    """
    escaped = _clean(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _clean(text: str) -> str:
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(line.split())[:200]


def _said(parts: Parts, *names: str) -> list[str]:
    return [parts[name] for name in names if parts.get(name)]


def _soc(parts: Parts) -> Told:
    chip = " ".join(_said(parts, "ro.soc.manufacturer", "ro.soc.model"))
    if chip:
        return Told(quoted(chip), "getprop ro.soc.manufacturer and ro.soc.model")
    for name, place in (
        ("ro.board.platform", "getprop ro.board.platform"),
        ("compatible", "/proc/device-tree/compatible"),
    ):
        if parts.get(name):
            return Told(quoted(parts[name].splitlines()[-1]), place)
    named = re.search(r"^model name\s*:\s*(.+)$", parts.get("cpuinfo", ""), re.MULTILINE)
    return Told(quoted(named[1]), "/proc/cpuinfo") if named else Told("", "the device doesn't name its chip")


def _clusters(parts: Parts) -> Told:
    """Cores by name and highest clock, fastest first; unknown if that of one core is, for a part would mislead."""
    names = _names(parts)
    found = Counter((names.get(core, ""), clock) for core, clock in _clocks(parts))
    seen = Counter(name or "unnamed" for name, _ in found.elements())
    listed = _clean(", ".join(f"{count}x {name}" for name, count in seen.items())) or "none"
    if not found or "unnamed" in seen:
        return Told("", f"the device doesn't name all of its cores: {listed}")
    if not all(CLOCKS_HZ[0] < clock < CLOCKS_HZ[1] for _, clock in found):
        return Told("", f"the device doesn't tell its cores' highest clocks: {listed}")
    fastest = sorted(found.items(), key=lambda each: each[0][1], reverse=True)
    lines = [
        f'  {{ core = {quoted(name)}, count = {count}, clock = "{clock / 1e9:.4g} GHz" }},\n'
        for (name, clock), count in fastest
    ]
    return Told(f"[\n{''.join(lines)}]", "/proc/cpuinfo, MIDR_EL1 and cpufreq/cpuinfo_max_freq")


def _clocks(parts: Parts) -> Iterator[tuple[int, float]]:
    """Each core's number and highest clock in Hz, 0 where it isn't told."""
    for number, clock in re.findall(r"^(\d+)\|(\d*)\|", parts.get("cores", ""), re.MULTILINE):
        yield int(number), float(clock or 0) * 1e3


def _names(parts: Parts) -> dict[int, str]:
    """The cores' names. What is asleep may be missing in /proc/cpuinfo, and has a register in sysfs."""
    registers = re.findall(r"^(\d+)\|\d*\|(0x[0-9a-fA-F]+)$", parts.get("cores", ""), re.MULTILINE)
    found = {int(number): of_register(int(value, 16)) for number, value in registers}
    for block in re.split(r"\n\s*\n", parts.get("cpuinfo", "")):
        number = re.search(r"^processor\s*:\s*(\d+)", block, re.MULTILINE)
        maker = re.search(r"^CPU implementer\s*:\s*(0x\w+)", block, re.MULTILINE)
        part = re.search(r"^CPU part\s*:\s*(0x\w+)", block, re.MULTILINE)
        if number and maker and part:
            found[int(number[1])] = name_of(int(maker[1], 16), int(part[1], 16))
        elif number and "model name" in block:
            found[int(number[1])] = cpu_model(block)
    return found


def _isa(parts: Parts) -> Told:
    """Extensions that every core has."""
    text = parts.get("cpuinfo", "")
    if not re.search(r"^(flags|Features)\s*:", text, re.MULTILINE):
        return Told("", "/proc/cpuinfo has no flags")
    names = dict.fromkeys(EXTENSIONS.get(flag, flag) for flag in isa_flags(text))
    return Told(f"[{', '.join(quoted(name) for name in names)}]", "/proc/cpuinfo")


def _ram(parts: Parts) -> Told:
    found = re.match(r"MemTotal:\s*(\d+) kB", parts.get("memory", ""))
    if not found or not 0 < int(found[1]) * 1024 < 4e12:
        return Told("", "/proc/meminfo doesn't tell it")
    place = "MemTotal of /proc/meminfo, which is less than is built in"
    return Told(f'"{int(found[1]) * 1024 / 1e9:.4g} GB"', place)


def _battery(parts: Parts) -> Told:
    """Its design charge, which sysfs has in microampere hours."""
    found = parts.get("battery", "")
    if not re.fullmatch(r"\d{5,8}", found):
        return Told("", "no battery tells its charge")
    return Told(f'"{int(found) // 1000} mAh"', "/sys/class/power_supply/battery/charge_full_design")


def _os(parts: Parts) -> Told:
    release, level = (parts.get(f"ro.build.version.{name}", "") for name in ("release", "sdk"))
    if release:
        return Told(quoted(f"Android {release} (API {level})" if level else f"Android {release}"), "getprop")
    said = [part.strip("\"'") for part in _said(parts, "release", "kernel")]
    return (
        Told(quoted(", ".join(said)), "/etc/os-release and uname -sr")
        if said
        else Told("", "the device doesn't tell it")
    )
