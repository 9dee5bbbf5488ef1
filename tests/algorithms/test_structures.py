from __future__ import annotations

import numpy as np
import pytest

from edgekd.algorithms.structures import Kind, Structure, grouped, least_important


def layer(number: int, neurons: list[float], heads: list[float], whole: float = 1e9) -> list[Structure]:
    """Neurons that cost 10, heads that cost 30, and the layer with all of them."""
    parts: list[tuple[Kind, list[float], int]] = [("neurons", neurons, 10), ("heads", heads, 30)]
    made = [
        Structure(kind, number, (index,), value, cost)
        for kind, values, cost in parts
        for index, value in enumerate(values)
    ]
    return [*made, Structure("layers", number, (), whole, 10 * len(neurons) + 30 * len(heads))]


def names(gone: list[Structure]) -> list[tuple[Kind, int, tuple[int, ...]]]:
    return [(each.kind, each.layer, each.members) for each in gone]


def test_what_matters_least_for_its_cost_goes_first_wherever_it_is() -> None:
    two = [*layer(0, [1, 9, 9], [27, 30]), *layer(1, [2, 9, 9], [4, 30])]
    assert names(least_important(two, 45, equal=False)) == [
        ("neurons", 0, (0,)),  # 0.10 for a unit of cost
        ("heads", 1, (0,)),  # 0.13
        ("neurons", 1, (0,)),  # 0.20
    ]


def test_every_layer_loses_the_same_share_of_its_neurons_and_heads() -> None:
    two = [*layer(0, [1, 2, 3, 4], [1, 2, 3, 4]), *layer(1, [10, 20, 30, 40], [10, 20, 30, 40])]
    parts = [each for each in two if each.kind != "layers"]
    assert names(least_important(parts, 2 * 40, equal=True)) == [
        ("heads", 0, (0,)),
        ("heads", 1, (0,)),
        ("neurons", 0, (0,)),
        ("neurons", 1, (0,)),
    ]


def test_the_last_of_a_kind_stays_in_a_layer_and_the_last_layer_of_all() -> None:
    two = [*layer(0, [1, 2], [1], whole=0.5), *layer(1, [1, 2], [1], whole=0.4)]
    gone = least_important(two, 10_000, equal=False)
    assert names(gone) == [("layers", 1, ()), ("neurons", 0, (0,))]


def test_a_layer_takes_what_is_left_in_it_and_goes_only_where_that_is_not_too_much() -> None:
    two = [*layer(0, [1, 50, 50], [60, 60], whole=20), *layer(1, [50, 50, 50], [60, 60], whole=1e9)]
    assert names(least_important(two, 60, equal=False))[:1] == [("neurons", 0, (0,))]
    assert all(each.kind != "layers" for each in least_important(two, 60, equal=False))
    assert names(least_important(two, 90, equal=False)) == [("layers", 0, ())]  # 80 are left in it, then one neuron


@pytest.mark.parametrize("count", [1, 7, 8, 20, 24])
def test_groups_leave_whole_multiples(count: int) -> None:
    groups = grouped(np.random.default_rng(0).random(count), 8)
    assert sorted(number for group in groups for number in group) == list(range(count))
    left = count - np.cumsum([0, *map(len, groups)])
    assert all(each % 8 == 0 for each in left[1:])
