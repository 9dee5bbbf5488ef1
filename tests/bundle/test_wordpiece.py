"""Which tokenizers MediaPipe can stand for, and their tokens a line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from modelfiles import TOKENIZER

from edgekd.bundle.wordpiece import obstacles, vocabulary

FOUR = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}


def changed(**model: Any) -> bytes:
    parsed = json.loads(TOKENIZER)
    return json.dumps(parsed | {"model": parsed["model"] | model}).encode()


def test_tokens_stand_in_the_line_of_their_id() -> None:
    told = json.loads(TOKENIZER)
    found = vocabulary(told)
    assert found is not None
    lines = found.decode().splitlines()
    assert {token: lines.index(token) for token in lines} == told["model"]["vocab"]
    assert lines[:4] == list(FOUR)
    assert not list(obstacles(TOKENIZER.encode()))


def test_cased_text_is_not_for_mediapipe() -> None:
    cased = json.loads(TOKENIZER)
    cased["normalizer"]["lowercase"] = False
    assert list(obstacles(json.dumps(cased).encode())) == ["it keeps upper case, and MediaPipe doesn't"]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ({"type": "Unigram"}, "it is of type Unigram"),
        ({"continuing_subword_prefix": "@@"}, "pieces begin with '@@'"),
        ({"vocab": FOUR | {"a": 5}}, "don't fit into lines"),
        ({"vocab": FOUR | {"a\nb": 4}}, "don't fit into lines"),
    ],
)
def test_what_keeps_a_tokenizer_out(model: dict[str, Any], why: str) -> None:
    assert any(why in found for found in obstacles(changed(**model)))


def test_other_special_tokens_are_named() -> None:
    other = TOKENIZER.replace("[CLS]", "<s>").encode()
    assert list(obstacles(other)) == ["it has no [CLS], which MediaPipe writes"]
