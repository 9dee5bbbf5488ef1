"""Read quantities such as '12 ms', '6 MiB' or '40 mJ', and print them.

The only module that knows units; everything else holds SI values (seconds, bytes, joules, watts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekd.errors import BadInputError

SCALES: dict[str, dict[str, float]] = {
    "s": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0},
    "B": {
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
    "J": {"nJ": 1e-9, "uJ": 1e-6, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0},
    "W": {"mW": 1e-3, "W": 1.0},
    "B/s": {"MB/s": 1e6, "GB/s": 1e9},
    "Hz": {"MHz": 1e6, "GHz": 1e9},
    "ratio": {"%": 1e-2, "ratio": 1.0},
    "count": {"": 1.0},
}
PRINTED: dict[str, tuple[str, ...]] = {
    "s": ("ns", "µs", "ms", "s"),
    "B": ("B", "kB", "MB", "GB"),
    "J": ("nJ", "µJ", "mJ", "J"),
    "W": ("mW", "W"),
    "B/s": ("MB/s", "GB/s"),
    "Hz": ("MHz", "GHz"),
}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\s\d]*)\s*\Z")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value in the SI unit of its dimension ('s', 'B', 'J', 'W', 'B/s', 'Hz', 'ratio', 'count')."""

    value: float
    dimension: str


def parse(text: str, dimension: str, where: str) -> float:
    """Return ``text`` in the SI unit of ``dimension``.

    >>> parse("12 ms", "s", "here")
    0.012

    Raises:
        BadInputError: there is no number, no unit, or a unit of another dimension.

    """
    match = _QUANTITY.match(text)
    scales = SCALES[dimension]
    expected = f"a number with one of the units {', '.join(filter(None, scales))}"
    if match is None:
        raise BadInputError(f"{where}: found {text!r}, expected {expected}", "write for example " + _example(dimension))
    number, unit = match.groups()
    if unit not in scales:
        found = f"the unit {unit!r}" if unit else "no unit"
        raise BadInputError(
            f"{where}: found {found} in {text!r}, expected {expected}", "write for example " + _example(dimension)
        )
    return float(f"{float(number) * scales[unit]:.12g}")  # 94 % is 0.94, not 0.9400000000000001


def show(value: float, dimension: str) -> str:
    """Print ``value`` (SI) with three significant digits and the unit that suits it.

    >>> show(0.0123, "s"), show(0.94, "ratio"), show(1.2e6, "B")
    ('12.3 ms', '94.0 %', '1.20 MB')
    """
    if dimension == "ratio":
        return f"{value * 100:.1f} %"
    if dimension == "count":
        return f"{value:,.0f}"
    units = [unit for unit in PRINTED[dimension] if abs(value) >= 0.9995 * SCALES[dimension][unit]]
    unit = units[-1] if units else PRINTED[dimension][0]
    return f"{_three_digits(value / SCALES[dimension][unit])} {unit}"


def _three_digits(value: float) -> str:
    size = abs(value)
    decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{decimals}f}"


def _example(dimension: str) -> str:
    return {
        "s": "'100 ms'",
        "B": "'1 GB'",
        "J": "'40 mJ'",
        "W": "'4.5 W'",
        "B/s": "'17.1 GB/s'",
        "Hz": "'2.4 GHz'",
        "ratio": "'94 %'",
    }.get(dimension, "'3'")


def plural(noun: str) -> str:
    """More than one of ``noun``.

    >>> plural("image"), plural("query")
    ('images', 'queries')
    """
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
