"""The text of a device file, made of what was read off, with comments where something is to be added."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekd import device
from edgekd.errors import BadInputError, unwritable
from edgekd.limits import parse_rule
from edgekd.starting.device_facts import Told, arch_of, facts_of, quoted, title_of
from edgekd.starting.device_reading import There

EXAMPLES = {
    "soc": ('value = "Google Tensor G3"',),
    "clusters": ('value = [{ core = "Cortex-A76", count = 4, clock = "2.4 GHz" }]',),
    "isa": ('value = ["dotprod", "fp16"]',),
    "ram": ('value = "8 GB"',),
    "memory_bandwidth": ('value = "17.1 GB/s"',),
    "battery": ('value = "4575 mAh"',),
    "os": ('value = "Android 14 (API 34)"',),
    "power": ('low = "2.7 W"', 'high = "7.2 W"', 'basis = "whole device, at rest and under load"'),
}
BUDGET = ('latency_p95 = "< 100 ms"', 'peak_memory = "<= 1 GB"', 'size = "<= 2 MB"', 'quality = ">= 94 % of teacher"')


def path_of(name: str) -> Path:
    """Where the file of ``name`` is written.

    Raises:
        BadInputError: no name that a file can have and --device can be given.

    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name.endswith(".toml"):
        raise BadInputError(
            f"found the name {name!r}, expected letters, digits, '-', '_' and '.', without .toml",
            "my-phone, for example",
        )
    return Path("devices") / f"{name}.toml"


def budget(rules: Sequence[str]) -> dict[str, str]:
    """What was given as ``--budget 'latency_p95 < 50 ms'``, by metric.

    Raises:
        BadInputError: no metric, no rule, or one that no budget can have.

    """
    found = {}
    for text in rules:
        match = re.fullmatch(r"\s*(\w+)\s*([<>].*)", text)
        if match is None:
            raise BadInputError(f"--budget: found {text!r}, expected a metric and its limit", "'latency_p95 < 50 ms'")
        parse_rule(match[1], match[2], "--budget")
        found[match[1]] = match[2].strip()
    return found


def text(name: str, there: There, parts: Mapping[str, str], limits: Mapping[str, str], today: str) -> str:
    """The whole file."""
    return "\n".join(_lines(name, there, parts, limits, today)) + "\n"


def _lines(name: str, there: There, parts: Mapping[str, str], limits: Mapping[str, str], today: str) -> Iterator[str]:
    yield f"# Written by edgekd devices new on {today}. What the device doesn't tell is left out and counts as unknown:"
    yield "# add it with its source. docs/devices.md tells of [reach]; without that table figures are predicted."
    yield f"title = {quoted(title_of(parts, name))}"
    yield f"arch = {quoted(arch_of(parts))}"
    yield 'runtimes = ["onnxruntime", "tflite"] # edgekd has both for it; take out what your app does not use'
    yield "threads = 1"
    yield "\n[reach]"
    yield from (f"{key} = {quoted(value) if isinstance(value, str) else value}" for key, value in there.reach.items())
    how = "off this machine" if there.way == "host" else f"off the device over {there.way}"
    for fact, told in facts_of(parts).items():
        yield from _fact(fact, told, f"read {how}, {today}")
    if limits:
        yield "\n[budget]"
        yield from (f"{metric} = {quoted(rule)}" for metric, rule in limits.items())
    else:
        yield "\n# A build needs limits, and a quality floor among them:"
        yield from (f"# {line}" for line in ("[budget]", *BUDGET))


def _fact(name: str, told: Told, source: str) -> Iterator[str]:
    if told.value:
        yield f"\n[facts.{name}]\nvalue = {told.value}\nsource = {quoted(f'{source}: {told.place}')}"
        return
    yield f"\n# Unknown: {told.place}"
    example = (f"[facts.{name}]", *EXAMPLES[name], 'source = "where it stands"')
    yield from (f"# {line}" for line in example)


def write(path: Path, content: str, *, force: bool) -> device.Device:
    """Put the file in place whole, once it is seen to load.

    Raises:
        BadInputError: there is one and it isn't to be overwritten, or the place can't be written.

    """
    refuse_present(path, force=force)
    try:
        path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
            made = Path(folder) / path.name
            made.write_text(content, encoding="utf-8")
            device.load(str(made))
            os.replace(made, path)
    except OSError as error:
        raise unwritable(path, error) from None
    return device.load(str(path))


def refuse_present(path: Path, *, force: bool) -> None:
    """Say that there is such a file before a device is called up.

    Raises:
        BadInputError: so there is, and ``force`` isn't given.

    """
    if path.exists() and not force:
        raise BadInputError(f"{path}: found a device file, which is not overwritten", "--force, or another name")
