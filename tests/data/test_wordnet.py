import lzma
from pathlib import Path

import numpy as np
import pytest

from edgekd.data import wordnet
from edgekd.data.text_sources import TextDataConfig, source
from edgekd.data.texts import Pairs
from edgekd.errors import BadInputError


def test_the_slice_has_four_galleries_of_texts_that_are_not_trained_on() -> None:
    found = source(TextDataConfig(use="wordnet"), "text-embedding")
    found.check()
    data = found.load()
    assert isinstance(data.test, Pairs)
    assert np.bincount(data.test.galleries).tolist() == [1000] * 4
    assert len(data.train) > 100_000
    assert not {*data.test.queries, *data.test.documents} & set(data.train.texts)
    assert "Princeton" in data.licence
    assert sum(path.stat().st_size for path in (wordnet.TEXTS, wordnet.PAIRS)) < 3_000_000


def test_files_are_read_as_they_are(tmp_path: Path) -> None:
    texts, pairs = tmp_path / "texts.txt.xz", tmp_path / "pairs.tsv.xz"
    texts.write_bytes(lzma.compress("one\ncafé, two\n".encode()))
    pairs.write_bytes(lzma.compress(b"gallery\tquery\tdocument\n2\tq\td\n1\tr\te\n2\ts\tf\n"))
    data = wordnet.load(texts, pairs)
    assert list(data.train.texts) == ["one", "café, two"]
    assert isinstance(data.test, Pairs)
    assert (data.test.queries, data.test.documents) == (("q", "r", "s"), ("d", "e", "f"))
    assert data.test.galleries.tolist() == [0, 1, 0]
    before = wordnet.digest((texts, pairs))
    texts.write_bytes(lzma.compress(b"one\n"))
    assert wordnet.digest((texts, pairs)) != before
    pairs.write_bytes(lzma.compress(b"query\tdocument\tgallery\n"))
    with pytest.raises(BadInputError, match="found no rows"):
        wordnet.load(texts, pairs)


def test_it_has_no_labels() -> None:
    with pytest.raises(BadInputError, match="found 'wordnet', which has no labels"):
        source(TextDataConfig(use="wordnet"), "text-classification")
