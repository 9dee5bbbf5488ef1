"""What is installed of what edgekd can use, and the command that installs what isn't."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from edgekd.errors import EdgekdError, StageError

FEATURES: Mapping[str, str] = {  # by extra, '' for the base
    "": "showing, verifying and comparing; running .onnx files",
    "build": "training, exporting and quantizing: edgekd build",
    "tflite": "making .tflite files",
    "litert": "running .tflite files",
    "data": "data sets of a hub",
    "tensorflow": "a teacher in a .keras file",
    "report": "figures in reports",
    "devices": "measuring in a browser; power rails of Android phones",
    "sign": "signing bundles",
    "demo-text": "the teacher of pipelines/minilm-search.toml",
}
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "adb": ("measuring on Android devices", "apt-get install adb"),
    "ssh": ("measuring over ssh", "apt-get install openssh-client"),
    "npm": ("measuring in a browser", "apt-get install npm"),
}
REQUIREMENT = re.compile(r"([\w.-]+)\s*([^;]*)")
UNKNOWN = "the edgekd that is installed was made before this extra"
EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


@dataclass(frozen=True, slots=True)
class Finding:
    """One feature: what of it is here, and what to do about the rest."""

    name: str
    purpose: str
    here: tuple[str, ...]  # 'torch 2.13.0'
    missing: tuple[str, ...]
    install: str

    @property
    def line(self) -> str:
        """What a person reads."""
        if self.missing:
            return f"missing  {self.name:<10} {self.purpose}: {self.install}  ({', '.join(self.missing)})"
        return f"ok       {self.name:<10} {self.purpose}  ({', '.join(self.here)})"


def findings() -> Iterator[Finding]:
    """A finding for each extra of edgekd and each program that it can use."""
    needed = _needed()
    for extra, purpose in FEATURES.items():
        found = [_installed(name, bounds) for name, bounds in needed.get(extra, {}).items()]
        here = tuple(text for there, text in found if there)
        missing = tuple(text for there, text in found if not there) if extra in needed else (UNKNOWN,)
        package = f"'edgekd[{extra}]'" if extra else "edgekd"
        yield Finding(extra or "base", purpose, here, missing, f"pip install {package}")
    for name, (purpose, install) in PROGRAMS.items():
        path = shutil.which(name)
        yield Finding(name, purpose, (path,) if path else (), () if path else (f"no program {name!r}",), install)


def reached(name: str) -> Iterator[str]:
    """Look whether a device can be measured: what it says of itself, and what can be measured there, by what.

    Raises:
        EdgekdError: no such device, or one that can't be reached.

    """
    from edgekd import device, targets
    from edgekd.targets.predicted import can_predict

    chosen = device.load(name)
    if targets.is_measured(chosen):
        try:
            with targets.measuring(chosen) as session:
                yield f"reached  {chosen.name} by {targets.name_of(chosen)}: {session.identity}"
                for each in session.abilities():
                    yield f"{'ok' if each.works else 'no':<8} {chosen.name}, {each.name}: {each.text}"
        except EdgekdError as error:
            raise StageError(f"{chosen.name} can't be reached: {error.message}", error.hint) from error
        return
    way = "its figures are predicted" if can_predict(chosen) else "nothing is predicted either: its cores aren't known"
    yield f"ok       {chosen.name} isn't measured, {way}; a [reach] table in {chosen.path} would say how to get there"


def _needed() -> dict[str, dict[str, str]]:
    """The packages that edgekd's own metadata ask for, with their bounds, by extra."""
    try:
        listed = requires("edgekd") or []
    except PackageNotFoundError:
        return {}
    found: dict[str, dict[str, str]] = {}
    for line in listed:
        extra, requirement = EXTRA.search(line), REQUIREMENT.match(line)
        if requirement:
            found.setdefault(extra[1] if extra else "", {})[requirement[1]] = requirement[2].strip()
    return found


def _installed(name: str, bounds: str) -> tuple[bool, str]:
    try:
        found = version(name)
    except PackageNotFoundError:
        return False, f"{name} {bounds}".strip()
    fits = all(_holds(found, bound.strip()) for bound in bounds.split(",") if bound.strip())
    return fits, f"{name} {found}" if fits else f"{name} {found}, which isn't {bounds}"


def _holds(found: str, bound: str) -> bool:
    """Whether a version is within one bound, by its leading numbers.

    >>> _holds("2.13.0+cpu", ">=2.6"), _holds("2.15", "<2.15"), _holds("1.2", "==1.2")
    (True, False, True)
    """
    match = re.match(r"(>=|<=|==|<|>|!=|~=)\s*(\S+)", bound)
    if match is None:
        return True
    one, other = _numbers(found), _numbers(match[2])
    if match[1] == "~=":
        return one >= other and one[: len(other) - 1] == other[:-1]
    length = max(len(one), len(other))
    one, other = (each + (0,) * (length - len(each)) for each in (one, other))
    operators = {">=": one >= other, "<=": one <= other, "==": one == other, "!=": one != other}
    return {**operators, "<": one < other, ">": one > other}[match[1]]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[+a-z]", text)[0]))
