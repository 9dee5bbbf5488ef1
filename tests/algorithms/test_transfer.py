"""Carrying over: rows left out are thought to be what they would be had they never been there; intervals widen."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.algorithms.transfer import Evidence, Sample, Term, coverage, widening

TERMS = [
    Term("all", (), None, 1.0),
    Term("core", ("core",), None, 0.5),
    Term("model", ("model",), None, 0.3),
    Term("size", ("core",), "size", 0.2),
]


def sample(core: str, model: str, size: float) -> Sample:
    return Sample({"core": core, "model": model}, {"size": (size,)}, prior=size)


SAMPLES = [sample(core, model, size) for core in "ab" for model, size in (("m", 0.1), ("n", 0.7), ("o", 1.3))]
LOGS = np.array([0.3, 0.9, 1.2, 1.4, 1.8, 2.6])


def test_left_out_rows_are_as_if_never_measured() -> None:
    found = Evidence(SAMPLES, LOGS, TERMS, 0.01).left_out([0, 4])
    rest = [index for index in range(6) if index not in {0, 4}]
    without = Evidence([SAMPLES[index] for index in rest], LOGS[rest], TERMS, 0.01)
    expected = without.predict([SAMPLES[0], SAMPLES[4]])
    assert found.mean == pytest.approx(expected.mean)
    assert found.covariance == pytest.approx(expected.covariance)


def test_a_measured_network_is_as_if_it_had_been_a_row() -> None:
    apart = Evidence(SAMPLES[:5], LOGS[:5], TERMS, 0.01)
    new = sample("b", "p", 0.4)
    given = apart.predict([new, SAMPLES[5]]).given(1, float(LOGS[5]))
    whole = Evidence(SAMPLES, LOGS, TERMS, 0.01).predict([new])
    assert given.mean[0] == pytest.approx(whole.mean[0])
    assert given.deviation(0) == pytest.approx(whole.deviation(0))
    assert given.deviation(0) < apart.predict([new]).deviation(0)


def test_fewer_than_nine_chips_widen() -> None:
    many, few = ({str(chip): [1.0, -1.0, 0.5] for chip in range(count)} for count in (9, 8))
    assert widening(many) == 1.0
    assert widening(few) == pytest.approx(1.152)
    assert widening({"one": [2.0], "two": [2.0]}) == pytest.approx(2 * 3.839)


def test_a_chip_with_many_rows_counts_once() -> None:
    scores = {str(chip): [1.0] for chip in range(30)} | {"loud": [9.0] * 1000}
    assert widening(scores) == 1.0


def test_an_outlying_chip_is_not_covered_by_intervals_made_without_it() -> None:
    scores = {str(chip): [1.0] for chip in range(19)} | {"odd": [9.0, 0.5]}
    assert coverage(scores) == pytest.approx((19 + 0.5) / 20)
