"""What may be asked of a plan or a build besides pipeline and device: the options of the command line, for programs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from edgekd.errors import BadInputError

Require = Literal["on_device", "predicted"]
Parity = Literal["arm64"]
MOST_THREADS = 256
COUNTS = {"threads": 1, "load": 0}  # and the least of each
WORDS = {"require": get_args(Require), "parity": get_args(Parity)}


class BuildOptions(TypedDict, total=False):
    """Each is the option of that name; ``limits`` are those of ``--limit``. What is left out has its default."""

    output: str | Path
    limits: Iterable[str]
    control: bool
    quick: bool
    threads: int
    sustained: bool
    load: int
    require: Require | None
    parity: Parity | None
    allow_inconclusive: bool
    no_examples: bool


def check(options: BuildOptions) -> None:
    """Refuse what the command line would refuse.

    Raises:
        BadInputError: the first value that isn't allowed.
        TypeError: an option that doesn't exist.

    """
    given: dict[str, Any] = {**options}
    for name, value in given.items():
        if name not in BuildOptions.__annotations__:
            raise TypeError(f"found the option {name!r}, expected one of {', '.join(BuildOptions.__annotations__)}")
        if name in WORDS and value is not None and value not in WORDS[name]:
            raise BadInputError(f"{name}: found {value!r}, expected {' or '.join(map(repr, WORDS[name]))}")
    for name, least in COUNTS.items():
        count = given.get(name, least)
        if type(count) is not int or not least <= count <= MOST_THREADS:
            raise BadInputError(f"{name}: found {count!r}, expected a whole number from {least} to {MOST_THREADS}")
    if isinstance(given.get("limits"), str):
        raise BadInputError(f"limits: found the text {given['limits']!r}, expected a list", f"[{given['limits']!r}]")
