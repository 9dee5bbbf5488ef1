"""Choose among INT8 candidates: the fastest that loses little enough; and how few operators have to return to float."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

SAME_SPEED = 1.05  # times the fastest's: closer than that, the machine decides which is faster


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to quantize a model, with what was measured of it on rows that are neither calibration nor test."""

    name: str
    drop: float  # of the float model's quality, the share that is lost; below 0 where it gained
    closeness: float  # of its outputs to the float model's: the higher, the closer
    seconds: float  # median latency


def fastest(candidates: Iterable[Candidate], max_drop: float) -> Candidate | None:
    """Return the fastest that loses at most ``max_drop``, and of those about as fast the closest; None if none does.

    >>> slow, fast, bad = Candidate("a", 0.0, 0.99, 2.0), Candidate("b", 0.01, 0.98, 1.0), Candidate("c", 0.2, 0.9, 0.5)
    >>> fastest([slow, fast, bad], 0.01).name, fastest([slow, fast, bad], -0.1)
    ('b', None)
    """
    within = [each for each in candidates if each.drop <= max_drop]
    if not within:
        return None
    limit = SAME_SPEED * min(each.seconds for each in within)
    return max((each for each in within if each.seconds <= limit), key=lambda each: each.closeness)


def fewest(most: int, holds: Callable[[int], bool]) -> int | None:
    """Return the smallest count from 1 to ``most`` that ``holds``, by bisection; None if not even ``most`` does.

    It asks about log2(most) times. Where ``holds`` isn't monotone, it returns one that holds, if ``most`` does.

    >>> fewest(100, lambda count: count >= 37), fewest(3, lambda count: False)
    (37, None)
    """
    if most < 1 or not holds(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def largest(holds: Callable[[float], bool | None], start: float, tries: int = 6) -> float | None:
    """Return the largest share between 0 and 1 that ``holds``, of those tried by bisection; None if none did.

    It asks about ``start`` first. Where ``holds`` can't tell because a share is too small to be had, it says None, and
    larger ones are tried.

    >>> largest(lambda share: share <= 0.6, 0.7), largest(lambda share: None if share < 0.5 else share < 0.8, 0.25)
    (0.590625, 0.7890625)
    """
    low, high, best, share = 0.0, 1.0, None, start
    for _ in range(tries):
        found = holds(share)
        best = share if found else best
        low, high = (low, share) if found is False else (share, high)
        share = (low + high) / 2
    return best
