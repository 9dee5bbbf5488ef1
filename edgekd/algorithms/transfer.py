"""Carry measurements over to a device or a network that was not measured, and say how far that may be off.

log(value) = prior + a sum of independent Gaussian terms. A term is shared by all samples whose labels agree in its
``keys`` (the same core, the same family of networks), scaled by a feature where it has one. What rows of the same core
or network say is so worth more than what others say, and how much more is a fitted number, not a rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CONFIDENCE = 0.9
# The 95 % quantile of Student's t with 1, 2 … 8 degrees of freedom over that of the normal distribution.
STUDENT_OVER_NORMAL = (3.839, 1.775, 1.431, 1.296, 1.225, 1.181, 1.152, 1.131)


@dataclass(frozen=True, slots=True)
class Term:
    """What samples have in common whose labels agree in all of ``keys``, times ``feature``."""

    name: str
    keys: tuple[str, ...]
    feature: str | None
    variance: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a value belongs; ``prior`` is what is expected of it in log before any row was seen."""

    labels: Mapping[str, str]
    features: Mapping[str, tuple[float, ...]]
    prior: float


@dataclass(frozen=True, slots=True)
class Guess:
    """Means in log and their covariance, measurement noise included."""

    mean: Array
    covariance: Array

    def given(self, known: int, value: float) -> Guess:
        """The same once the sample ``known`` is seen to have the log ``value``."""
        gain = self.covariance[:, known] / self.covariance[known, known]
        mean = self.mean + gain * (value - self.mean[known])
        return Guess(mean, self.covariance - np.outer(gain, self.covariance[known]))

    def deviation(self, index: int) -> float:
        """Standard deviation of one sample in log."""
        return math.sqrt(max(float(self.covariance[index, index]), 1e-12))


class _Columns:
    """What terms read of samples, as arrays; each is made once."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = tuple(samples)
        self._codes: dict[tuple[str, ...], tuple[dict[tuple[str, ...], int], NDArray[np.int64]]] = {}
        self._features: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def names(self, keys: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The labels of each sample under ``keys``."""
        return [tuple(each.labels[key] for key in keys) for each in self._samples]

    def codes(self, keys: tuple[str, ...]) -> tuple[dict[tuple[str, ...], int], NDArray[np.int64]]:
        """A number for each combination of labels, and that of each sample."""
        if keys not in self._codes:
            names = self.names(keys)
            known = {name: index for index, name in enumerate(dict.fromkeys(names))}
            self._codes[keys] = known, np.array([known[name] for name in names])
        return self._codes[keys]

    def feature(self, name: str) -> Array:
        """One row a sample."""
        if name not in self._features:
            self._features[name] = np.array([each.features[name] for each in self._samples])
        return self._features[name]


def agreement(first: Sequence[Sample], second: Sequence[Sample], term: Term) -> Array:
    """The covariance of ``term`` in units of its variance."""
    return _agreement(_Columns(first), _Columns(second), term)


def _agreement(first: _Columns, second: _Columns, term: Term) -> Array:
    known, two = second.codes(term.keys)
    one = np.array([known.get(name, -1) for name in first.names(term.keys)])
    same: Array = (one[:, None] == two[None, :]).astype(float)
    if term.feature is None:
        return same
    shared: Array = same * (first.feature(term.feature) @ second.feature(term.feature).T)
    return shared


def _covariance(first: _Columns, second: _Columns, terms: Sequence[Term]) -> Array:
    """The sum over the terms."""
    total = np.zeros((len(first), len(second)))
    for term in terms:
        total += term.variance * _agreement(first, second, term)
    return total


class Evidence:
    """Samples that were measured, ready to say what others will be."""

    def __init__(self, samples: Sequence[Sample], logs: Array, terms: Sequence[Term], noise: float) -> None:
        self._columns, self._terms, self._noise = _Columns(samples), tuple(terms), noise
        within = _covariance(self._columns, self._columns, terms) + noise * np.eye(len(samples))
        self._inverse = np.linalg.inv(within)
        self._weights = self._inverse @ (logs - np.array([each.prior for each in samples]))
        self._logs = logs

    def predict(self, samples: Sequence[Sample]) -> Guess:
        """What samples will show that were not measured."""
        asked = _Columns(samples)
        across = _covariance(asked, self._columns, self._terms)
        own = _covariance(asked, asked, self._terms) + self._noise * np.eye(len(samples))
        prior = np.array([each.prior for each in samples])
        return Guess(prior + across @ self._weights, own - across @ self._inverse @ across.T)

    def left_out(self, indices: Sequence[int]) -> Guess:
        """What the samples at ``indices`` would be thought to be if just the others had been measured."""
        block = np.linalg.inv(self._inverse[np.ix_(indices, indices)])
        return Guess(self._logs[list(indices)] - block @ self._weights[list(indices)], block)


def widening(scores: Mapping[str, Sequence[float]]) -> float:
    """How many standard deviations hold 90 % of what was seen, one unseen chip more counted as outside.

    ``scores`` are errors in standard deviations by chip; each chip counts once. Where fewer than nine chips speak there
    is no such quantile at 90 %: then that of what was seen is widened as Student's t is against the normal.

    >>> widening({str(chip): [float(chip)] for chip in range(1, 20)})
    18.0
    """
    chips = len(scores)
    pooled = sorted((abs(score), 1 / len(each)) for each in scores.values() for score in each)
    wanted = CONFIDENCE * (chips + 1)
    if wanted <= chips:
        return _passing(pooled, wanted)
    return _passing(pooled, CONFIDENCE * chips) * STUDENT_OVER_NORMAL[max(chips - 2, 0)]


def _passing(ordered: Sequence[tuple[float, float]], wanted: float) -> float:
    passed = 0.0
    for score, share in ordered:
        passed += share
        if passed >= wanted - 1e-9:
            return score
    return ordered[-1][0]


def coverage(scores: Mapping[str, Sequence[float]]) -> float:
    """Share of the scores, chips counting alike, that intervals hold which were made without their chip."""
    held = []
    for chip, each in scores.items():
        wide = widening({name: other for name, other in scores.items() if name != chip})
        held.append(sum(abs(score) <= wide for score in each) / len(each))
    return sum(held) / len(held)
