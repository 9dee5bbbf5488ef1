"""Ways around outliers: exact in float, and easier to round."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.algorithms.outliers import copies, rows_to_int8, smoothing_scales

GENERATOR = np.random.default_rng(0)


def test_scales_fold_away() -> None:
    values, weights = GENERATOR.normal(size=(5, 8)), GENERATOR.normal(size=(8, 3))
    values[:, 2] *= 40
    scales = smoothing_scales(np.abs(values).max(0).astype(np.float32), np.abs(weights).max(1).astype(np.float32))
    assert np.allclose((values / scales) @ (weights * scales[:, None]), values @ weights)
    assert np.abs(values / scales).max() < np.abs(values).max() / 4


@pytest.mark.parametrize(("strength", "expected"), [(1.0, 16.0), (0.5, 4.0), (0.0, 1.0)])
def test_strength_moves_the_burden(strength: float, expected: float) -> None:
    peaks = np.array([1, 1, 16], np.float32)
    assert smoothing_scales(peaks, np.ones(3, np.float32), strength)[2] == pytest.approx(expected)


def test_a_channel_that_is_always_zero_has_a_finite_scale() -> None:
    assert np.isfinite(1 / smoothing_scales(np.zeros(3, np.float32), np.zeros(3, np.float32))).all()


def test_copies_add_up_to_the_same() -> None:
    values, weights = np.abs(GENERATOR.normal(size=(5, 8))), GENERATOR.normal(size=(8, 3))
    values[:, 1] *= 30
    found = copies(values.max(0).astype(np.float32), extra=6)
    order = np.repeat(np.arange(8), found)
    assert found[1] > 1
    assert np.allclose((values / found)[:, order] @ weights[order], values @ weights)


def test_no_more_copies_than_allowed_and_none_without_outliers() -> None:
    assert copies(np.array([1, 1, 1, 90], np.float32), extra=3).tolist() == [1, 1, 1, 4]
    assert copies(np.array([1, 1.5, 1, 2], np.float32), extra=3).tolist() == [1, 1, 1, 1]


def test_rows_are_within_half_a_step() -> None:
    table = GENERATOR.normal(size=(20, 8)).astype(np.float32) * np.logspace(-3, 3, 20, dtype=np.float32)[:, None]
    whole, steps = rows_to_int8(table)
    assert (whole.dtype, whole.shape, steps.shape) == (np.int8, (20, 8), (20, 1))
    assert (np.abs(whole * steps - table) <= steps * 0.5001).all()
    assert (np.abs(whole).max(axis=1) == 127).all()
