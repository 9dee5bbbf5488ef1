import json
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import tinybert

from edgekd.data.tokens import Encoded, Tokenizer
from edgekd.errors import BadInputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tinybert.word_piece().save(str(tmp_path / "tokenizer.json"))
    tinybert.write(tmp_path / "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": 32})
    return tmp_path


@pytest.fixture
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


def test_padding_and_truncation_of_the_file_are_not_used(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens("the cat") == ["[CLS]", "the", "cat", "[SEP]"]
    assert len(tokenizer.token_ids("cat " * 50)) == tokenizer.max_length == 32


def test_ids_are_those_of_the_library(tokenizer: Tokenizer) -> None:
    library = tinybert.word_piece()
    library.no_padding()
    library.no_truncation()
    encoded = tokenizer.encode(tinybert.TEXTS)
    found = [encoded.ids[start:end].tolist() for start, end in zip(encoded.offsets, encoded.offsets[1:], strict=False)]
    assert found == [library.encode(text).ids for text in tinybert.TEXTS]
    assert encoded.lengths.tolist() == [len(ids) for ids in found]


def test_what_is_cut_is_counted_before_it_is_cut(tokenizer: Tokenizer) -> None:
    encoded = tokenizer.limited(5).encode(["cat cat cat", "cat cat cat cat", "cat " * 10])
    assert (encoded.cut, encoded.cut_tokens) == (2, 1 + 7)
    assert encoded.lengths.tolist() == [5, 5, 5]
    assert encoded.ids[[4, 9, 14]].tolist() == [3, 3, 3]  # [SEP] stays last


def test_a_sink_holds_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = [text for texts in repeat(tinybert.TEXTS, 500) for text in texts]  # more than two chunks
    memory, disk = tokenizer.encode(texts), tokenizer.encode(iter(texts), tmp_path / "ids.bin")
    assert isinstance(disk.ids, np.memmap)
    assert np.array_equal(memory.ids, disk.ids)
    assert np.array_equal(memory.offsets, disk.offsets)
    assert (tmp_path / "ids.bin").stat().st_size == 4 * len(memory.ids)
    assert len(tokenizer.encode([], tmp_path / "none.bin")) == 0


def test_batches_are_padded_on_the_right(tokenizer: Tokenizer) -> None:
    encoded = tokenizer.encode(tinybert.TEXTS)
    batch = encoded.batch([3, 1])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, int(encoded.lengths[3]))
    assert batch["attention_mask"].sum(1).tolist() == encoded.lengths[[3, 1]].tolist()
    assert batch["input_ids"][1].tolist()[:4] == tokenizer.token_ids("dogs")
    assert set(batch["input_ids"][1][4:].tolist()) == {tokenizer.pad_id}
    assert encoded.batch(np.array([1]), 20)["input_ids"].shape == (1, 20)
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}


def test_a_batch_narrower_than_a_row_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(BadInputError, match="a text of 4 tokens, expected at most 3"):
        tokenizer.encode(["dogs"]).batch([0], 3)


def test_it_is_saved_as_one_file_with_a_digest(tokenizer: Tokenizer, tmp_path: Path) -> None:
    loaded = Tokenizer.load(tokenizer.save(tmp_path / "saved.json"))
    assert loaded == tokenizer
    assert loaded.digest == tokenizer.digest != tokenizer.limited(9).digest
    assert loaded.save(tmp_path / "again.json").read_bytes() == (tmp_path / "saved.json").read_bytes()


def test_another_file_is_no_tokenizer(folder: Path) -> None:
    with pytest.raises(BadInputError, match="which is no tokenizer that edgekd saved"):
        Tokenizer.load(folder / "tokenizer.json")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", 3], "row 1: found a int, expected text"),
        (["\ud800"], "row 0: found text with half a surrogate pair"),
    ],
)
def test_what_is_no_text_is_refused_with_its_row(tokenizer: Tokenizer, texts: list[str], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        tokenizer.encode(texts)


@pytest.mark.parametrize("limit", [2, 33])
def test_a_limit_beyond_the_model_or_without_room_is_refused(tokenizer: Tokenizer, limit: int) -> None:
    with pytest.raises(BadInputError, match="expected 3 to 32"):
        tokenizer.limited(limit)


def test_lower_casing_and_prompt_of_sentence_transformers_are_kept(folder: Path) -> None:
    parsed = json.loads((folder / "tokenizer.json").read_text())
    parsed["normalizer"] = None
    (folder / "tokenizer.json").write_text(json.dumps(parsed))
    tinybert.write(folder / "sentence_bert_config.json", {"max_seq_length": 10, "do_lower_case": True})
    own = {"prompts": {"query": "the "}, "default_prompt_name": "query"}
    tinybert.write(folder / "config_sentence_transformers.json", own)
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer.tokens("CAT") == ["[CLS]", "the", "cat", "[SEP]"]
    assert tokenizer.encode(["CAT"]).lengths.tolist() == [4]
    assert tokenizer.max_length == 10


def test_a_folder_with_a_vocabulary_alone_is_read_through_transformers(tmp_path: Path) -> None:
    vocabulary = sorted(tinybert.word_piece().get_vocab().items(), key=lambda pair: pair[1])
    (tmp_path / "vocab.txt").write_text("\n".join(token for token, _ in vocabulary), encoding="utf-8")
    tinybert.write(tmp_path / "config.json", {"model_type": "bert", "max_position_embeddings": 40})
    tinybert.write(tmp_path / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.tokens("The cat") == ["[CLS]", "the", "cat", "[SEP]"]
    assert tokenizer.max_length == 40


def test_a_folder_without_a_tokenizer_or_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"found no tokenizer.json or vocabulary"):
        Tokenizer.from_folder(tmp_path)
    tinybert.word_piece().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BadInputError, match="found no token limit"):
        Tokenizer.from_folder(tmp_path)


def test_an_encoded_batch_of_no_rows_has_no_rows() -> None:
    empty = Encoded(np.empty(0, np.int32), np.zeros(1, np.int64), 0)
    assert empty.batch([])["input_ids"].shape == (0, 0)
