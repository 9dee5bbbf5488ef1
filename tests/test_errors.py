import pytest

from edgekd.errors import BadInputError, EdgekdError, MissingExtraError, StageError, nearest


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("pixl8", "did you mean 'pixel8' or 'pixel6'?"),
        ("host", "did you mean 'host'?"),
        ("zzz", "known: host, pixel6, pixel8"),
    ],
)
def test_the_nearest_words_are_offered_or_all_of_them(word: str, end: str) -> None:
    assert nearest(word, ["pixel8", "host", "pixel6"]) == end


def test_each_kind_has_its_exit_code() -> None:
    assert (EdgekdError("x").exit_code, BadInputError("x").exit_code, StageError("x").exit_code) == (3, 2, 3)


def test_a_missing_extra_names_the_package_its_use_and_the_command() -> None:
    error = MissingExtraError("torch", "build", "the build")
    assert error.exit_code == 2
    assert error.message == "the build needs the package 'torch', which is not installed"
    assert error.hint == "install it with: pip install 'edgekd[build]'"
