"""Row: one line of the table, a target and what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What is wanted, what was found, and whether that is enough."""

    name: str
    target: str
    found: str
    met: bool


def at_least(name: str, value: float, target: float, more: str = "") -> Row:
    """A ratio that must not be below ``target``."""
    return Row(name, f">= {target:g}", f"{value:.2f}{more}", value >= target)


def show(rows: Iterable[Row]) -> None:
    """Print them as a table."""
    for row in rows:
        print(f"{row.name:<58} {row.target:>10}  {row.found:<44} {'met' if row.met else 'MISSED'}", flush=True)
