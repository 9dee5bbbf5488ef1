"""What an app team would be told of the tiny model files in tests/bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tiny
import tinybert

from edgekd.bundle import wordpiece
from edgekd.bundle.facts import Facts
from edgekd.bundle.manifest import ImagePreprocessing, Postprocessing, TextPreprocessing

LENGTH = 12
TOKENIZER = tinybert.word_piece().to_str()
LABELS = ("row, straight", "column", "diagonal ↗")


@dataclass(frozen=True)
class Given:
    """A model's file as it was exported, with its facts."""

    path: Path
    facts: Facts
    assets: Mapping[str, bytes]

    @property
    def model(self) -> bytes:
        return self.path.read_bytes()


def image_facts(**more: object) -> Facts:
    image = ImagePreprocessing(
        height=tiny.SIZE,
        width=tiny.SIZE,
        resize="none",
        colour="grey-as-rgb",
        mean=(127.5,) * 3,
        scale=(127.5,) * 3,
        layouts={"model.tflite": "NHWC"},
    )
    post = Postprocessing(kind="softmax", labels="labels.json", temperature=1.5)
    return Facts("bars", "bars in noise", "1", "edgekd", "MIT", image.model_copy(update=more), post)


def text_facts(post: Postprocessing) -> Facts:
    text = TextPreprocessing(
        tokenizer="tokenizer.json",
        vocabulary="vocab.txt",
        max_length=LENGTH,
        pad_to={"model.tflite": LENGTH},
        pad_id=0,
        lowercase=True,
        special_tokens={"[CLS]": 2, "[SEP]": 3},
    )
    return Facts("words", "words as vectors", "1", "edgekd", "MIT", text, post)


def vocabulary() -> bytes:
    found = wordpiece.vocabulary(json.loads(TOKENIZER))
    assert found is not None
    return found


def labels(names: tuple[str, ...] = LABELS) -> dict[str, bytes]:
    return {"labels.json": json.dumps(names).encode()}


def tokens(texts: list[str]) -> dict[str, np.ndarray]:
    """What edgekd feeds for texts."""
    made = tinybert.word_piece()
    made.enable_padding(length=LENGTH)
    made.enable_truncation(LENGTH)
    found = made.encode_batch(texts)
    pairs = {"input_ids": [each.ids for each in found], "attention_mask": [each.attention_mask for each in found]}
    return {name: np.array(rows) for name, rows in pairs.items()}
