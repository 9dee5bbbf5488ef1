"""Place: what another machine says of itself when a session begins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgekd.profile.conditions import UNKNOWN, cpu_model, isa_flags
from edgekd.targets.connection import Connection
from edgekd.targets.runners import PythonRunner

FACTS = """
echo "machine=$(uname -m)"
echo "kernel=$(uname -sr)"
echo "cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc)"
echo "id=$(cat /etc/machine-id 2>/dev/null)"
cat /proc/cpuinfo
"""


@dataclass(frozen=True, slots=True)
class Place:
    """What the device says of itself."""

    machine: str
    facts: Mapping[str, str]  # that don't change
    python: Mapping[str, str]  # versions that its Python has; empty where it has none


def look(connection: Connection, python: str | None, fixed: Callable[[], Mapping[str, str]]) -> Place:
    """Ask the device what it is, and what its Python has, in one command: over ssh each takes a while.

    ``fixed`` asks for what else names it.
    """
    found = connection.run(FACTS + (PythonRunner.probe(python) if python else "")).text
    said = dict(re.findall(r"^(machine|kernel|cores|id)=(.*)$", found, re.MULTILINE))
    facts = {
        "device": said.get("id") or connection.name,
        "cpu": cpu_model(found),
        "isa": " ".join(isa_flags(found)) or UNKNOWN,
        "cores": said.get("cores") or UNKNOWN,
        "os": said.get("kernel") or UNKNOWN,
        **fixed(),
    }
    versions = re.findall(r"^([\w-]+)==(\S+)$", found, re.MULTILINE)
    return Place(said.get("machine", UNKNOWN), facts, dict(versions))
