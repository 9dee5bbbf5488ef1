"""Measuring: what each file's outputs are worth on the test rows, and how long it takes where all files take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekd.algorithms import bootstrap
from edgekd.algorithms.proportions import Bounds, paired_floor
from edgekd.profile.measurement import Interval
from edgekd.profile.turns import Seconds, speed_up, take_turns
from edgekd.runtimes import for_file
from edgekd.store import sha256
from quantizing.making import OURS, Made
from quantizing.subject import Quality, Subject

ONE_SIDED = bootstrap.Resampling(confidence=0.9)  # 95 % on either side, as paired_floor's bounds have
Sums = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A file with its quality and its times; its float version has both beside it."""

    model: str
    made: Made
    size_bytes: int
    quality: Quality
    float_quality: Quality
    seconds: Seconds  # of each turn
    float_seconds: Seconds

    @property
    def is_ours(self) -> bool:
        """Whether it is the file that edgekd chose."""
        return self.made.tool == OURS and self.made.setting == "auto"

    @property
    def latency_s(self) -> float:
        """The median."""
        return float(np.median(self.seconds))

    @property
    def drop(self) -> float:
        """The share of float's quality that is lost."""
        return 1.0 - float(self.quality.scores.mean()) / float(self.float_quality.scores.mean())

    @property
    def faster(self) -> Interval:
        """How many times as fast as float."""
        return speed_up(self.float_seconds, self.seconds)


def measured(subject: Subject, form: str, files: Sequence[Made], turns: int) -> list[Measured]:
    """Score and time every file of one format, with the float file among them."""
    source = subject.files[form]
    reference = outputs(subject, source)
    found = [subject.score(outputs(subject, each.path), reference) for each in files]
    runners = [for_file(path).Runner(path, 1) for path in (source, *(each.path for each in files))]
    times = take_turns([partial(each.run, [each.feed(subject.timed)]) for each in runners], turns)
    float_quality = subject.score(reference, reference)
    return [
        Measured(subject.name, each, each.path.stat().st_size, quality, float_quality, seconds, times[0])
        for each, quality, seconds in zip(files, found, times[1:], strict=True)
    ]


def in_torch(subject: Subject, made: Made) -> Measured:
    """What a rival measured in torch by itself: its times and its float's were not taken with the others'."""
    reference = outputs(subject, subject.files["onnx"])
    with np.load(made.path) as stored:
        quality, seconds = subject.score(stored["outputs"], reference), stored["seconds"]
    float_quality = subject.score(reference, reference)
    return Measured(subject.name, made, 0, quality, float_quality, seconds[1], seconds[0])


def outputs(subject: Subject, path: Path) -> npt.NDArray[np.float32]:
    """A file's outputs on the test rows, kept beside it for as long as its bytes and the rows are the same."""
    kept = path.with_name(f"{path.name}.{subject.name}-{subject.tested}-{sha256(path)[:12]}.npy")
    if not kept.is_file():
        np.save(kept, for_file(path).Runner(path, 1).run(subject.rows()))
    found: npt.NDArray[np.float32] = np.load(kept)
    return found


def difference(first: Quality, second: Quality) -> Bounds:
    """The mean score of the first less the second's, on the same items, with one-sided bounds of 95 % each.

    Items in groups are drawn by groups, since those of one are alike; without groups each counts for itself.
    """
    if first.groups is None:
        return paired_floor(first.scores, second.scores, 1.0)
    mine, other = (by_group(each.scores, first.groups) for each in (first, second))
    return bootstrap.difference(share, mine, other, plan=ONE_SIDED)


def interval(quality: Quality) -> Bounds:
    """The mean score with its two-sided 95 % interval."""
    groups = np.arange(len(quality.scores)) if quality.groups is None else quality.groups
    return bootstrap.interval(share, by_group(quality.scores, groups))


def by_group(scores: npt.NDArray[np.float64], groups: npt.NDArray[np.int64]) -> Sums:
    """Sum and number of each group's scores: (groups, 2).

    >>> by_group(np.array([1.0, 0.0, 1.0]), np.array([4, 4, 9])).tolist()
    [[1.0, 2.0], [1.0, 1.0]]
    """
    _, place = np.unique(groups, return_inverse=True)
    return np.stack([np.bincount(place, scores), np.bincount(place).astype(np.float64)], axis=1)


def share(sums: Sums) -> float:
    """The mean over all items of these groups."""
    return float(sums[:, 0].sum() / sums[:, 1].sum())
