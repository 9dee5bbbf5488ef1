import numpy as np
import pytest
import tinybert
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from edgekd.data.tokens import Tokenizer
from edgekd.data.vocabulary import trim
from edgekd.errors import BadInputError

CORPUS = ["the cat sat", "a cat sitting on mats"]
UNSEEN = ["running dogs at the cafe", "tatting mats", "qwertyuiop", "caf dogrun", "fizz"]
WRITING = [*tinybert.TEXTS, "the quick brown fox jumps over the lazy dog", "low lower lowest new newer wider"] * 5


def word_piece() -> Tokenizer:
    return Tokenizer(tinybert.word_piece().to_str(), 32, 0)


def unigram() -> Tokenizer:
    library = Library(models.Unigram())
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    unknown = {"unk_token": "<unk>"}
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, show_progress=False, **unknown)
    library.train_from_iterator(WRITING, trainer)
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return Tokenizer(library.to_str(), 64, 1)


def byte_pairs(**more: str) -> Tokenizer:
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False, **more
    )
    library.train_from_iterator(WRITING, trainer)
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return Tokenizer(library.to_str(), 64, 1)


@pytest.mark.parametrize("make", [word_piece, unigram, byte_pairs])
def test_tokens_of_the_corpus_stay_the_same_and_fewer_are_left(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    trimmed, kept = trim(tokenizer, CORPUS)
    old = {index: token for token, index in tokenizer.vocabulary.items()}
    assert len(kept) == len(trimmed.vocabulary) < len(tokenizer.vocabulary)
    for text in CORPUS:
        assert trimmed.tokens(text) == tokenizer.tokens(text)
        assert kept[trimmed.token_ids(text)].tolist() == tokenizer.token_ids(text)
    assert {old[int(index)]: new for new, index in enumerate(kept)} == trimmed.vocabulary
    assert (np.diff(kept) > 0).all()
    assert kept[trimmed.pad_id] == tokenizer.pad_id


@pytest.mark.parametrize("make", [word_piece, unigram, byte_pairs])
def test_text_of_known_characters_does_not_become_unknown(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    trimmed, _ = trim(tokenizer, CORPUS)
    for text in UNSEEN:
        if not {"[UNK]", "<unk>"} & set(tokenizer.tokens(text)):
            assert not {"[UNK]", "<unk>"} & set(trimmed.tokens(text)), text
        assert "".join(trimmed.tokens(text)).replace("##", "") == "".join(tokenizer.tokens(text)).replace("##", "")


def test_a_piece_with_a_character_that_has_no_piece_of_its_own_stays() -> None:
    trimmed, _ = trim(word_piece(), ["cat"])
    assert "##zz" in trimmed.vocabulary  # never seen, and the only way to a z inside a word
    assert "##ting" not in trimmed.vocabulary


def test_rare_tokens_go_with_a_higher_count() -> None:
    assert "mat" in trim(word_piece(), CORPUS)[0].vocabulary
    assert "mat" not in trim(word_piece(), CORPUS, min_count=2)[0].vocabulary


@pytest.mark.parametrize("kind", ["word", "marked"])
def test_other_models_are_refused(kind: str) -> None:
    if kind == "word":
        tokenizer = Tokenizer(Library(models.WordLevel({"[PAD]": 0, "a": 1})).to_str(), 8, 0)
    else:
        tokenizer = byte_pairs(end_of_word_suffix="</w>")
    with pytest.raises(BadInputError, match=r"found a tokenizer of type (WordLevel|BPE with marked pieces), expected"):
        trim(tokenizer, ["a"])
