import errno
import os
from pathlib import Path

import pytest

from edgekd.errors import BadInputError, EdgekdError, MissingExtraError, StageError, nearest, unwritable


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


@pytest.mark.parametrize(
    ("code", "exit_code", "message", "hint"),
    [
        (errno.ENOSPC, 3, "there: the disk is full", "free some space and try again; what was there is kept"),
        (errno.EDQUOT, 3, "there: the disk is full", "free some space and try again; what was there is kept"),
        (errno.EACCES, 2, "there: found a place that can't be written: Permission denied", "elsewhere"),
    ],
)
def test_a_full_disk_is_no_wrong_input(code: int, exit_code: int, message: str, hint: str) -> None:
    found = unwritable(Path("there"), OSError(code, os.strerror(code)), "elsewhere")
    assert (found.exit_code, found.message, found.hint) == (exit_code, message, hint)


def test_a_missing_extra_names_the_package_its_use_and_the_command() -> None:
    error = MissingExtraError("torch", "build", "the build")
    assert error.exit_code == 2
    assert error.message == "the build needs the package 'torch', which is not installed"
    assert error.hint == "install it with: pip install 'edgekd[build]'"
