"""Rules: how long a model is measured, the same for every target.

What is judged lasts at least 1,024 runs and a minute, what is shown beside a prediction five seconds. 1,024 independent
runs put the upper 99 % bound of p99 at the 1,021st; five seconds outlast short bursts of other work, and a minute
the first heat. How warm-up ends stands in ``edgekd.profile.child``.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.errors import BadInputError

MIN_RUNS, QUICK_RUNS = 1024, 64
JUDGED_S, SHOWN_S, QUICK_S = 60.0, 5.0, 0.5
SUSTAINED_S = 600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a model is run: at least ``min_runs`` and at least ``min_seconds``, after warm-up."""

    threads: int = 1
    min_runs: int = MIN_RUNS
    min_seconds: float = SHOWN_S
    sustained: bool = False  # at most min_seconds: less where the speed is steady before
    load: int = 0  # cores that are kept busy meanwhile
    memory_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.threads < 1 or self.min_runs < 1 or self.min_seconds < 0 or self.load < 0:
            raise BadInputError(
                f"found {self.threads} threads, {self.min_runs} runs and {self.min_seconds} s to profile with, "
                "expected at least 1, 1 and 0 s"
            )


def plan(threads: int, *, judged: bool, quick: bool) -> Plan:
    """The plan for a figure that is judged or only shown; ``quick`` is for a look, too few runs for a verdict.

    >>> plan(1, judged=True, quick=False).min_seconds
    60.0
    """
    if quick:
        return Plan(threads, QUICK_RUNS, QUICK_S)
    return Plan(threads, MIN_RUNS, JUDGED_S if judged else SHOWN_S)
