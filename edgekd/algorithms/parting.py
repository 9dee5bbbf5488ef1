"""Where two computations of the same thing part: the first operator whose result the other one doesn't have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator, and the tensors that it reads and writes by name."""

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def first_apart(
    operations: Sequence[Operation], inputs: Iterable[str], compared: Collection[str], equal: Collection[str]
) -> Operation | None:
    """Return the first operation from which on nothing is equal any more, though all that it reads still was.

    ``operations`` stand in the order in which they run. Of the tensors ``compared``, the other computation has those
    in ``equal``. One that it lacks only because it does several operators in one is no parting: something that is made
    of it is equal again. What doesn't depend on ``inputs`` is left out. None if something equal is made of everything.

    >>> chain = [Operation(kind, kind, (a,), (b,)) for kind, a, b in (("conv", "x", "y"), ("norm", "y", "z"),
    ...          ("relu", "z", "r"), ("dense", "r", "d"))]
    >>> [first_apart(chain, ["x"], "xyzrd", equal).kind for equal in ({"x", "z"}, {"x", "r"}, {"x", "y"})]
    ['relu', 'dense', 'norm']
    """
    depends, sound = _dependent(operations, inputs), {*equal, *inputs}
    for each in reversed(operations):
        if sound.intersection(each.writes):
            sound.update(each.reads)
    for each in operations:
        parted = depends.intersection(each.writes) and not sound.intersection(each.writes)
        if parted and depends.intersection(each.reads) <= sound:
            if set(compared).intersection(each.writes):
                return each
            sound.update(each.writes)  # a shape or an index
    return None


def _dependent(operations: Sequence[Operation], inputs: Iterable[str]) -> set[str]:
    """The inputs and all that is made of them."""
    found = set(inputs)
    for each in operations:
        if found.intersection(each.reads):
            found.update(each.writes)
    return found
