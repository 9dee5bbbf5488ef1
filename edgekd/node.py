"""Node: one step of a build, as the plan lists it."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.toml_file import Frozen


@dataclass(frozen=True, slots=True)
class Node:
    """One step: a stage, its options, and the names of the steps whose artifacts it takes."""

    name: str
    stage: str
    config: Frozen
    inputs: tuple[str, ...] = ()
    own_data: bool = False  # it trains on the data of its own step
