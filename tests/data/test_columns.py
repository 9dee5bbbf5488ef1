import numpy as np
import pyarrow as pa
import pytest

from edgekd.data.columns import Column, chunks, select, take

WORDS = [f"word {row}" for row in range(10)]
COLUMN = Column([pa.array(WORDS[:4]), pa.array([], pa.string()), pa.array(WORDS[4:5]), pa.array(WORDS[5:])])


def test_rows_are_found_by_number_slice_and_array_across_chunks() -> None:
    assert len(COLUMN) == 10
    assert [COLUMN[row] for row in (0, 3, 4, 5, 9, -1, -10)] == [WORDS[row] for row in (0, 3, 4, 5, 9, 9, 0)]
    assert COLUMN[2:7] == WORDS[2:7]
    assert COLUMN[::-3] == WORDS[::-3]
    assert COLUMN[np.array([7, 0, 4, 7, -1])] == [WORDS[row] for row in (7, 0, 4, 7, 9)]
    assert COLUMN[np.array([], np.int64)] == []
    assert list(COLUMN) == WORDS


@pytest.mark.parametrize("row", [10, -11])
def test_a_row_that_is_not_there_is_an_index_error(row: int) -> None:
    with pytest.raises(IndexError, match="outside a column of 10"):
        _ = COLUMN[row]


def test_a_selection_stays_lazy_and_can_be_selected_from() -> None:
    odd = COLUMN.select(np.arange(1, 10, 2))
    assert isinstance(select(odd, np.array([4, 0])), Column)
    assert list(select(odd, np.array([4, 0]))) == ["word 9", "word 1"]
    assert (len(odd), odd[-1]) == (5, "word 9")
    with pytest.raises(IndexError):
        _ = odd[5]


def test_lists_are_treated_alike() -> None:
    rows = np.array([3, 1])
    assert take(WORDS, rows) == take(COLUMN, rows) == list(select(WORDS, rows))
    assert list(chunks(COLUMN, 4)) == list(chunks(WORDS, 4)) == [WORDS[:4], WORDS[4:8], WORDS[8:]]


def test_a_column_can_be_empty() -> None:
    assert list(Column([])) == []
    assert len(Column([])) == 0
