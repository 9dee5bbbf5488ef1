import pytest

from edgekd.algorithms.choosing import Candidate, fastest, fewest


def test_what_loses_too_much_is_not_chosen_however_fast() -> None:
    fast, good = Candidate("fast", 0.02, 0.9, 1.0), Candidate("good", 0.005, 0.99, 3.0)
    assert fastest([fast, good], 0.01) is good
    assert fastest([fast, good], 0.02) is fast
    assert fastest([fast, good], 0.001) is None
    assert fastest([], 1.0) is None


def test_of_those_as_fast_as_each_other_the_closest_is_chosen() -> None:
    first, second, slower = (
        Candidate(name, 0.0, closeness, seconds)
        for name, closeness, seconds in [("first", 0.97, 1.0), ("second", 0.99, 1.04), ("slower", 0.999, 1.06)]
    )
    assert fastest([first, second, slower], 0.01) is second


@pytest.mark.parametrize("enough", range(1, 12))
def test_the_fewest_are_found_by_few_questions(enough: int) -> None:
    asked = []

    def holds(count: int) -> bool:
        asked.append(count)
        return count >= enough

    assert fewest(11, holds) == enough
    assert len(asked) <= 5


def test_where_not_even_all_hold_none_is_found() -> None:
    assert fewest(5, lambda _count: False) is None
    assert fewest(0, lambda _count: True) is None
