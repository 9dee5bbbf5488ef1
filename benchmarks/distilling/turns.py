"""Turns: several loops that take step after step in turn, so that a machine that slows down slows them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Condition

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]


class Turns:
    """Whose step it is. Each loop has a thread of its own, and only one of them runs at a time."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._waiting = list(names)
        self._changed = Condition()
        self._began: dict[str, float] = {}
        self.seconds: dict[str, list[float]] = {name: [] for name in names}

    def take(self, name: str) -> None:
        """End the step of ``name``, if it has begun one, and begin the next when its turn comes."""
        with self._changed:
            self._end(name)
            self._changed.wait_for(lambda: self._waiting[0] == name)
            self._began[name] = time.perf_counter()

    def leave(self, name: str) -> None:
        """End the last step of ``name``."""
        with self._changed:
            self._end(name)
            self._waiting.remove(name)
            self._changed.notify_all()

    def _end(self, name: str) -> None:
        if name in self._began:
            self.seconds[name].append(time.perf_counter() - self._began.pop(name))
            self._waiting.append(self._waiting.pop(0))
            self._changed.notify_all()


def race(loops: Mapping[str, Callable[[Callable[[], None]], None]]) -> dict[str, Seconds]:
    """Run all ``loops`` and return the seconds of each one's start and of its steps.

    A loop calls what it is given before each step. What it does before the first one is done in turn as well.
    """
    turns = Turns(tuple(loops))

    def run(name: str) -> None:
        try:
            turns.take(name)
            loops[name](lambda: turns.take(name))
        finally:
            turns.leave(name)

    with ThreadPoolExecutor(len(loops)) as pool:
        for each in [pool.submit(run, name) for name in loops]:
            each.result()
    return {name: np.array(seconds) for name, seconds in turns.seconds.items()}
