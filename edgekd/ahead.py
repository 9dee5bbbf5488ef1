"""What is left of a build: by how long its steps took in earlier runs, and by the running step's own progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekd.planning import Plan


@dataclass(slots=True)
class _Running:
    """A step since it began; its progress is counted from its first word, which may come from a checkpoint."""

    began: float
    first: tuple[int, float] | None = None  # done, and when
    last: tuple[int, int] = (0, 0)  # done, total
    rounds: int = 0  # how often the count began anew: then it tells of the last round alone

    def progressed(self, now: float, done: int, total: int) -> None:
        """Take down how much is done."""
        if self.first is None or done < self.last[0]:
            self.first, self.rounds = (done, now), self.rounds + 1
        self.last = (done, total)

    def left_s(self, now: float, expected: float | None) -> float | None:
        """Seconds to its end, None where nothing tells."""
        by_earlier = None if expected is None else max(expected - (now - self.began), 0.0)
        by_itself = self._by_itself(now)
        if by_itself is None or (self.rounds > 1 and by_earlier is not None):
            return by_earlier if by_itself is None else max(by_itself, by_earlier or 0.0)
        return by_itself

    def _by_itself(self, now: float) -> float | None:
        done, total = self.last
        if self.first is None or done <= self.first[0]:
            return None
        seconds_each = (now - self.first[1]) / (done - self.first[0])
        return seconds_each * max(total - done, 0)


class Ahead:
    """The steps of a build, in order, with how long each took in earlier runs (s); None where no run tells."""

    def __init__(self, expected: Mapping[str, float | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._expected = dict(expected)
        self._count = len(expected)
        self._clock = clock  # one that never jumps
        self._name, self._running = "", _Running(clock())

    def started(self, step: str) -> None:
        """A step began."""
        self._name, self._running = step, _Running(self._clock())

    def progressed(self, done: int, total: int) -> None:
        """The running step has done so much."""
        self._running.progressed(self._clock(), done, total)

    def finished(self, step: str) -> None:
        """A step ended."""
        self._expected.pop(step, None)

    @property
    def share(self) -> float | None:
        """How far the running step is, 0 to 1: by its own count, or else by earlier runs; None where nothing tells."""
        done, total = self._running.last
        if total:
            return min(done / total, 1.0)
        expected = self._expected.get(self._name)
        return min((self._clock() - self._running.began) / expected, 0.99) if expected else None

    def text(self) -> str:
        """Which step it is, and how long the rest will take."""
        number = min(self._count - len(self._expected) + 1, self._count)
        now = self._clock()
        rest = [
            self._running.left_s(now, seconds) if name == self._name else seconds
            for name, seconds in self._expected.items()
        ]
        known = [seconds for seconds in rest if seconds is not None]
        unknown = len(rest) - len(known)
        told = [f"about {duration(sum(known))} left"] if known else []
        told += [f"{unknown} {'step' if unknown == 1 else 'steps'} of unknown length"] if unknown else []
        return f"step {number} of {self._count}, {' and '.join(told) or 'nearly done'}"


def of(plan: Plan, output: Path) -> Ahead:
    """What a build of ``plan`` has ahead of it: what is in the store takes no time."""
    from edgekd import expected
    from edgekd.executor import cached_steps
    from edgekd.store import Reading

    known = expected.seconds(output, plan.pipeline.name)
    steps = cached_steps(plan, Reading(output / ".store"))
    return Ahead({node.name: 0.0 if cached else known.get(node.name) for node, cached in steps})


def duration(seconds: float) -> str:
    """A rough length of time.

    >>> duration(12.4), duration(300), duration(7300)
    ('12 s', '5 min', '2 h 2 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
