"""How far predictions of peak memory are off for families of files that were left out of the fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from fit_memory import fitted, left_out
from memory_rows import Row

from edgekd.algorithms.transfer import widening
from edgekd.targets.transfer_errors import Summary

MADE = "made "  # networks with random weights, which are no artifacts of this project


def judged(rows: Sequence[Row], families: Iterable[str] | None = None) -> Mapping[str, Summary]:
    """By runtime and family: the error of the peak, and the share of files that the interval holds.

    The fit and its interval have seen the other families alone.
    """
    found = {}
    for runtime in sorted({row.work.runtime for row in rows}):
        own = [row for row in rows if row.work.runtime == runtime]
        scores = left_out(own)
        for family in sorted(scores) if families is None else families:
            if family in scores:
                wide = widening({name: each for name, each in scores.items() if name != family})
                held = sum(abs(score) <= wide for score in scores[family]) / len(scores[family])
                ratios = _ratios(family, own)
                found[f"{runtime}, {family}"] = Summary(
                    median_error=median(abs(ratio - 1) for ratio in ratios),
                    median_factor=median(math.expm1(abs(math.log(ratio))) for ratio in ratios),
                    coverage=held,
                    widening=wide,
                    rows=len(ratios),
                    chips=1,
                )
    return found


def is_made(name: str) -> bool:
    """Whether a name that :func:`judged` gives is that of networks with random weights."""
    return f", {MADE}" in name


def _ratios(family: str, rows: Sequence[Row]) -> list[float]:
    """Predicted over measured peak of the whole process, of which the base is known."""
    model = fitted([row for row in rows if row.family != family])
    own = [row for row in rows if row.family == family]
    return [(row.base + model.added(row.work).point) / row.peak for row in own]
