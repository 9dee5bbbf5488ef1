"""Which installed packages edgekd runs with: what it asks for, what those ask for, and so on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ROOT = "edgekd"


def closure(installed: Iterable[Distribution], root: str = ROOT) -> tuple[Distribution, ...]:
    """The distributions that ``root`` needs, itself first, those of its extras too; by name.

    Of other packages, what only an extra of theirs asks for is left out. Where ``root`` isn't installed (it runs from
    its source folder), there is nothing to start from, and all are returned.
    """
    known = {_plain(each.name): each for each in installed}
    if root not in known:
        return tuple(known[name] for name in sorted(known))
    found, waiting = {root}, [root]
    while waiting:
        name = waiting.pop()
        for requirement in known[name].requires or ():
            needed = _plain(_named(requirement))
            wanted = name == root or "extra ==" not in requirement
            if wanted and needed in known and needed not in found:
                found.add(needed)
                waiting.append(needed)
    return tuple(known[name] for name in sorted(found))


def _named(requirement: str) -> str:
    match = NAME.match(requirement)
    return match[0] if match else ""


def _plain(name: str) -> str:
    """Names are equal whatever their case and dashes: https://packaging.python.org/specifications/name-normalization.

    >>> _plain("Ruamel.Yaml_clib")
    'ruamel-yaml-clib'
    """
    return re.sub(r"[-_.]+", "-", name).lower()
