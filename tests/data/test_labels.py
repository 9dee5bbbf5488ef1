import pyarrow as pa
import pytest

from edgekd.data.columns import Column
from edgekd.data.labels import Labels, classes, numbers
from edgekd.errors import BadInputError


def labels(*values: object, declared: tuple[str, ...] = ()) -> Labels:
    return Labels(Column([pa.array(values)]), "a.csv, column 'label'", declared)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("spam", "ham", "spam"), ("ham", "spam")),
        (("10", "9", "-1"), ("-1", "9", "10")),
        ((10, 9), ("9", "10")),
        ((True, False), ("false", "true")),
        (("10", "9", "a"), ("10", "9", "a")),
    ],
)
def test_classes_are_in_an_order_that_rows_do_not_decide(values: tuple[object, ...], expected: tuple[str, ...]) -> None:
    assert classes([labels(*values)]) == expected
    assert classes([labels(*values[:1]), labels(*values[::-1])]) == expected


def test_declared_names_keep_their_order() -> None:
    column = labels(1, 0, 1, declared=("spam", "ham", "other"))
    assert classes([column]) == ("spam", "ham", "other")
    assert numbers(column, ("ham", "other", "spam")).tolist() == [0, 2, 0]


@pytest.mark.parametrize(
    ("values", "declared", "message"),
    [
        (("a", ""), (), "found nothing in row 1, expected a label: text, or a whole number"),
        (("a", " \t"), (), "found nothing in row 1"),
        (("a", None), (), "found nothing in row 1"),
        (("a", "b", "nan"), (), "found 'nan' in row 2"),
        ((1.0, 0.5), (), "found 1.0 in row 0"),
        ((0, 2), ("no", "yes"), "found 2 in row 1, expected a label: text, or a whole number from 0 to 1"),
        ((0, -1), ("no", "yes"), "found -1 in row 1"),
    ],
)
def test_what_is_no_label_is_refused(values: tuple[object, ...], declared: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        numbers(labels(*values, declared=declared), ("a", "b", "no", "yes"))
    assert caught.value.message.startswith(f"a.csv, column 'label': {message}")


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"found the label 'c' in row 1, expected one of \('a', 'b'\)"):
        numbers(labels("a", "c"), ("a", "b"))
