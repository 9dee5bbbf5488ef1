import numpy as np

from edgekd.data.row_ids import RowIds


def test_every_id_is_found_in_the_row_where_it_stands() -> None:
    order = np.random.default_rng(0).permutation(5000)
    names = [f"row {number}" for number in order]
    found = RowIds.of([names[:700], names[700:]])
    assert len(found) == 5000
    assert found.find(names).tolist() == list(range(5000))
    assert found.find([f"row {number}" for number in range(5000)]).tolist() == np.argsort(order).tolist()
    assert len(found.repeated()) == 0


def test_an_id_that_is_not_there_has_no_row() -> None:
    found = RowIds.of([["a", "b"]])
    assert found.find(["b", "c", "", "a"]).tolist() == [1, -1, -1, 0]
    assert found.find([]).tolist() == []
    assert RowIds.of([]).find(["a"]).tolist() == [-1]


def test_repeated_ids_are_the_later_rows_and_the_first_is_found() -> None:
    found = RowIds.of([["a", "b", "a"], ["c", "b", "a"]])
    assert found.repeated().tolist() == [2, 4, 5]
    assert found.find(["a", "b"]).tolist() == [0, 1]
