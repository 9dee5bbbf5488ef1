"""Observed: what was seen of a model beside its figures: the time of its operators, and its memory over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgekd.profile.measurement import Provenance

MOST_POINTS = 400  # of memory over time: a picture can't show more
RunsIn = Literal["int8", "float", "conversion", "neither", "not told"]


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator that the runtime ran, perhaps several of the file's; ``name`` is the file's where it has one."""

    name: str
    op_type: str  # as the runtime calls it
    runs_in: RunsIn
    provider: str
    share: float  # of the time of all operators
    in_file: bool  # False where the runtime made it, or doesn't tell what it was


@dataclass(frozen=True, slots=True)
class OperatorProfile:
    """The operators in the order of running. Profiling takes time itself, so that only their shares are figures."""

    operators: tuple[OperatorTime, ...] = ()
    requested: str = ""  # what was asked to run them
    runs: int = 0
    plain_s: float = 0.0  # median of a run without profiling, and with it
    profiled_s: float = 0.0
    unavailable: str = ""

    @property
    def fell_back(self) -> tuple[OperatorTime, ...]:
        """Those that something else ran than what was asked to."""
        return tuple(each for each in self.operators if each.provider != self.requested)

    def largest(self, count: int) -> tuple[OperatorTime, ...]:
        """Those with the largest shares."""
        return tuple(sorted(self.operators, key=lambda each: -each.share)[:count])

    def share_in(self, what: RunsIn) -> float:
        """The share of the time that ran in it."""
        return sum(each.share for each in self.operators if each.runs_in == what)


@dataclass(frozen=True, slots=True)
class MemoryCourse:
    """The resident bytes of a process that loads and runs a model, from its start, and when it had done what."""

    seconds: tuple[float, ...] = ()
    resident_bytes: tuple[float, ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)
    unavailable: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of one file."""

    artifact: str
    provenance: Provenance
    operators: OperatorProfile
    memory: MemoryCourse


def unavailable(artifact: str, provenance: Provenance, reason: str) -> Observed:
    """Nothing, and why."""
    return Observed(artifact, provenance, OperatorProfile(unavailable=reason), MemoryCourse(unavailable=reason))


def course(seconds: Sequence[float], sizes: Sequence[float], marks: Mapping[str, float]) -> MemoryCourse:
    """A course of at most MOST_POINTS points: of each stretch of time the lowest and the highest are kept.

    >>> course([0.0, 1.0, 2.0], [5, 9, 7], {"loaded": 1.5}).resident_bytes
    (5.0, 9.0, 7.0)
    """
    points = list(zip(seconds, map(float, sizes), strict=True))
    stretch = max(1, -(-2 * len(points) // MOST_POINTS))
    if stretch > 1:
        stretches = [points[start : start + stretch] for start in range(0, len(points), stretch)]
        ends = ({min(each, key=lambda at: at[1]), max(each, key=lambda at: at[1])} for each in stretches)
        points = [point for both in ends for point in sorted(both)]
    return MemoryCourse(tuple(at for at, _ in points), tuple(size for _, size in points), dict(marks))
