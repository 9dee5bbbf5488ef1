from __future__ import annotations

import numpy as np
import pytest

from edgekd.algorithms.racing import Winner, rival, winner


def hits(share: float, count: int = 1000) -> np.ndarray:
    """So many of the rows are right, the same ones of two equal shares."""
    return (np.arange(count) < share * count).astype(np.float64)


@pytest.mark.parametrize(
    ("pruned", "unpruned", "small", "expected"),
    [
        (0.90, 0.90, 0.90, "pruned"),
        (0.90, 0.905, 0.80, "pruned"),  # within max_drop
        (0.90, 0.95, 0.80, "unpruned"),
        (0.80, 0.90, 0.90, "small"),
        (0.80, 0.95, 0.85, "unpruned"),
    ],
)
def test_the_pruned_network_stays_unless_another_is_shown_to_be_better(
    pruned: float, unpruned: float, small: float, expected: Winner
) -> None:
    scores = [hits(each) for each in (pruned, unpruned, small)]
    assert winner(*scores, 0.01, hits=True) == expected
    noise = np.random.default_rng(0).normal(0, 1e-3, 1000)
    assert winner(*(each + noise for each in scores), 0.01, hits=False) == expected


def test_a_rival_is_ahead_only_where_the_rows_are_enough_to_tell() -> None:
    assert rival(hits(0.90, 2000), hits(0.95, 2000), 0.01, hits=True).ahead
    assert not rival(hits(0.90, 20), hits(0.95, 20), 0.01, hits=True).ahead
