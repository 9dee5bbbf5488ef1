"""Whether a browser computes what this machine computes: times of a model that answers wrongly are worth nothing."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.bundle.golden import Tolerance
from edgekd.errors import BadInputError, StageError
from edgekd.runtimes.asked import asked
from edgekd.targets.base import Subject

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file gives on this machine, and how far a browser's outputs may lie from that."""

    path: Path
    outputs: tuple[Arrays, ...]  # of the timed row, then of the others
    scales: Mapping[str, float]  # of whole numbers; 1 for others
    within: Tolerance

    def furthest(self, found: Arrays, number: int = 0) -> float:
        """How far the browser's outputs for one of the rows lie from these, in their own units.

        Raises:
            StageError: further than a bundle's golden vectors may be in a browser.

        """
        largest = 0.0
        for name, golden in self.outputs[number].items():
            # a signature calls outputs otherwise, and has an order of its own
            candidates = [found[name]] if name in found else list(found.values())
            apart = self.scales[name] * min((_apart(golden, each) for each in candidates), default=math.inf)
            if not apart <= self.within.max_abs:
                raise StageError(
                    f"{self.path}: found the output {name!r} {apart:.6g} off in the browser, expected at most "
                    f"{self.within.max_abs:.6g} from this machine's ({self.within.because})",
                    "nothing was timed: the browser's runtime computes this file wrongly",
                )
            largest = max(largest, apart)
        return largest


def checks(subject: Subject) -> list[Sequence[Array]]:
    """The other rows whose outputs are compared: each as an array for each input, in the file's order."""
    if subject.checks is None:
        return []
    names = [each.name for each in asked(subject.path)]
    with subject.checks.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        count = len(file.files) // len(names)
        return [[file[f"{number}/{name}"] for name in names] for number in range(count)]


def expected(subject: Subject, *rows: Sequence[Array]) -> Expected:
    """Run the file here on the timed row and all others.

    Raises:
        BadInputError: it doesn't run here either.

    """
    from edgekd.bundle.tolerances import tolerances
    from edgekd.runtimes import RUNTIMES

    names = [each.name for each in asked(subject.path)]
    fed = [dict(zip(names, row, strict=True)) for row in rows]
    try:
        runner = RUNTIMES[subject.runtime].Runner(subject.path, 1)
        golden = [runner.outputs(each) for each in fed]
    except StageError as error:
        raise BadInputError(error.message, "a page is compared with this machine, which must run the file") from error
    within = tolerances(subject.path, fed, golden, logits=True)
    scales = {each.name: each.scale or 1.0 for each in runner.gives}
    return Expected(subject.path, tuple(golden), scales, next(each for each in within if each.isa == "wasm"))


def read(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """The page's outputs by name."""
    return {
        each["name"]: np.frombuffer(base64.b64decode(each["values"]), each["dtype"]).reshape(each["shape"])
        for each in outputs
    }


def _apart(golden: Array, found: Array) -> float:
    if golden.shape != found.shape or golden.dtype != found.dtype:
        return math.inf
    expected, given = golden.astype(np.float64), found.astype(np.float64)
    same = (expected == given) | (np.isnan(expected) & np.isnan(given))
    with np.errstate(invalid="ignore"):
        return float(np.where(same, 0.0, np.abs(expected - given)).max(initial=0.0))
