import doctest
import unicodedata

import numpy as np
import pytest

from edgekd.algorithms import duplicates
from edgekd.algorithms.duplicates import Overlap, Repeat, normalized, overlap, overlap_bytes


def test_worked_examples() -> None:
    found = doctest.testmod(duplicates)
    assert found.failed == 0
    assert found.attempted >= 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("\uff26\uff55\uff4c\uff4c  width", "full width"),
        ("cafe\u0301", "CAFÉ"),
        ("line\none\ttab\u2003em", "line one tab em"),
        ("Maße", "MASSE"),
        ("ﬁx", "fix"),
        (" a ", "a"),
    ],
)
def test_texts_that_read_the_same_are_the_same(first: str, second: str) -> None:
    assert normalized(first) == normalized(second)


@pytest.mark.parametrize(("first", "second"), [("a b", "ab"), ("a.", "a"), ("e", "é"), ("1", "2")])
def test_texts_that_read_differently_are_not(first: str, second: str) -> None:
    assert normalized(first) != normalized(second)


def test_normalizing_twice_changes_nothing() -> None:
    everything = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) != "Cs"]
    once = [normalized(character) for character in everything]
    assert [normalized(text) for text in once] == once


def test_overlap_counts_rows_and_names_the_first_of_them() -> None:
    train = ["zero", "one", "two", "One"]
    test = ["ONE", "three", " two", "one", "four"]
    assert overlap(train, test) == Overlap(
        3,
        5,
        (Repeat(0, 1), Repeat(2, 2), Repeat(3, 1)),  # the first row of training
    )
    assert overlap(train, test, examples=2) == Overlap(3, 5, (Repeat(0, 1), Repeat(2, 2)))
    assert overlap(train, test, examples=0) == Overlap(3, 5, ())


def test_nothing_overlaps_with_nothing() -> None:
    assert overlap([], ["a"]) == Overlap(0, 1, ())
    assert overlap(["a"], []) == Overlap(0, 0, ())


def test_rows_are_counted_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "ROWS_AT_ONCE", 3)
    train = (f"text {number}" for number in range(0, 100, 5))  # read once
    found = overlap(train, (f"text {number}" for number in range(20)), examples=3)
    assert found == Overlap(4, 20, (Repeat(0, 0), Repeat(5, 1), Repeat(10, 2)))


def test_long_texts_are_compared_to_their_ends() -> None:
    text = "x" * 500
    assert overlap([text], [text]).count == 1
    assert overlap([text], [text + "y"]).count == 0


def test_broken_unicode_is_compared_too() -> None:
    assert overlap(["a \udc80"], ["A \udc80", "a"]).count == 1


def test_images_are_compared_by_their_bytes() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
    train, test = images[:4], np.stack([images[5], images[2], images[2] ^ 1])
    assert overlap_bytes(train, test) == Overlap(1, 3, (Repeat(1, 2),))
    assert overlap_bytes(train, iter(test[:, ::-1])) == Overlap(0, 3, ())  # upside down
    assert overlap_bytes([row.tobytes() for row in train], [row.tobytes() for row in test]).count == 1


def test_arrays_of_another_shape_or_type_are_not_the_same() -> None:
    zeros = np.zeros((2, 8), np.uint8)
    for other in (zeros.reshape(4, 4), zeros.view(np.int8), zeros.view(np.uint16)):
        assert overlap_bytes([zeros], [other]).count == 0
    assert overlap_bytes([zeros], [np.zeros((8, 2), np.uint8).T]).count == 1  # however it lies in memory
