import pytest

from edgekd import units
from edgekd.errors import BadInputError


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("12 ms", "s", 0.012),
        ("250us", "s", 250e-6),
        ("250 µs", "s", 250e-6),
        ("1.5e3 ns", "s", 1.5e-6),
        ("2 min", "s", 120.0),
        ("1 GB", "B", 1e9),
        ("6 MiB", "B", 6 * 2**20),
        ("1_000 kB", "B", 1e6),
        (".5 J", "J", 0.5),
        ("40 mJ", "J", 0.04),
        ("4.5 W", "W", 4.5),
        ("17.1 GB/s", "B/s", 17.1e9),
        ("2.4 GHz", "Hz", 2.4e9),
        ("94 %", "ratio", 0.94),
        ("3", "count", 3.0),
    ],
)
def test_quantities_are_read_as_si(text: str, dimension: str, value: float) -> None:
    assert units.parse(text, dimension, "here") == value


@pytest.mark.parametrize(
    ("text", "dimension", "found"),
    [
        ("12", "s", "no unit in '12'"),
        ("12 MB", "s", "the unit 'MB' in '12 MB'"),
        ("12 MS", "s", "the unit 'MS'"),
        ("fast", "s", "found 'fast'"),
        ("", "B", "found ''"),
        ("1 2 ms", "s", "found '1 2 ms'"),
        ("94", "ratio", "no unit in '94'"),
    ],
)
def test_anything_else_says_what_was_found_and_expected(text: str, dimension: str, found: str) -> None:
    with pytest.raises(BadInputError) as caught:
        units.parse(text, dimension, "pixel8.toml:7: ram")
    assert caught.value.message.startswith("pixel8.toml:7: ram: found ")
    assert found in caught.value.message
    assert "expected a number with one of the units" in caught.value.message
    assert caught.value.hint.startswith("write for example ")


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (0.09996, "s", "100 ms"),
        (0.9996, "s", "1.00 s"),
        (9.996e-6, "s", "10.0 µs"),
        (0.0, "s", "0.00 ns"),
        (-0.002, "s", "-2.00 ms"),
        (5e-10, "s", "0.50 ns"),
        (123456.0, "s", "123,456 s"),
        (1.2e6, "B", "1.20 MB"),
        (0.04, "J", "40.0 mJ"),
        (0.94, "ratio", "94.0 %"),
        (1234.0, "count", "1,234"),
    ],
)
def test_values_are_printed_with_three_digits_and_a_fitting_unit(value: float, dimension: str, text: str) -> None:
    assert units.show(value, dimension) == text


def test_every_dimension_has_an_example_that_can_be_read() -> None:
    for dimension in units.SCALES:
        assert units.parse(units._example(dimension).strip("'"), dimension, "here") > 0
