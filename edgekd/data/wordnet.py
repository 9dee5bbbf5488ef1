"""The bundled slice of WordNet: definitions and examples to learn from, examples with their definition to be found."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgekd.data import records
from edgekd.data.texts import Pairs, Texts, TextSet, numbered
from edgekd.errors import BadInputError
from edgekd.toml_file import PACKAGED

TEXTS = PACKAGED / "assets" / "wordnet-texts.txt.xz"
PAIRS = PACKAGED / "assets" / "wordnet-pairs.tsv.xz"
COLUMNS = ("query", "document", "gallery")
LICENCE = "WordNet 3.0, Copyright 2006 by Princeton University"


def digest(files: tuple[Path, ...] = (TEXTS, PAIRS)) -> str:
    """SHA-256 over the packed files."""
    total = hashlib.sha256()
    for path in files:
        total.update(path.read_bytes())
    return total.hexdigest()


def load(texts: Path = TEXTS, pairs: Path = PAIRS) -> TextSet:
    """Read both files into memory: about 155,000 short texts and 4,000 pairs in four galleries.

    Raises:
        BadInputError: a file is missing or damaged.

    """
    rows = [tuple(map(str, row)) for row in records.read(pairs, COLUMNS)]
    if not rows:
        raise BadInputError(f"{pairs}: found no rows, expected the columns {', '.join(COLUMNS)}")
    queries, documents, galleries = zip(*rows, strict=True)
    test = Pairs(queries, documents, numbered(galleries))
    train = Texts([line.rstrip("\n") for line in records.lines(texts)])
    return TextSet("WordNet slice", (), train, test, licence=LICENCE)
