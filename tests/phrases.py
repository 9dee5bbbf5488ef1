"""Texts that are real but tiny, in the tables that a user brings, with a tiny encoder beside them.

The words are those of tinybert.py's vocabulary. Everything is made from seeds, and so is the same on every run.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import tinybert

WORDS = ("the", "sat", "on", "a", "mat", "run", "running", "cafe", "mats", "sitting")
CLASSES = ("cat", "dog")


def sentences(count: int, seed: int, subject: str = "") -> list[str]:
    """``count`` different texts of 3 to 8 words, each with ``subject`` in it."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    found: dict[str, None] = {}
    while len(found) < count:
        words = [chance.choice(WORDS) for _ in range(chance.randint(3, 8))]
        words[chance.randrange(len(words))] = subject or chance.choice(CLASSES)
        found[" ".join(words)] = None
    return list(found)


def pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Queries, and documents that say the same with one more word."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    return [(text, f"{text} {chance.choice(WORDS)}") for text in sentences(count, seed)]


def scored_pairs(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Two texts, and the share of their words that both have."""
    both = zip(sentences(count, seed), sentences(count, seed + 1), strict=True)
    return [(one, other, str(_alike(set(one.split()), set(other.split())))) for one, other in both]


def _alike(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def labelled(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts about cats and about dogs in turn, each with its label."""
    each = [[(text, name) for text in sentences(count // 2, seed + index, name)] for index, name in enumerate(CLASSES)]
    return [row for rows in zip(*each, strict=True) for row in rows]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_jsonl(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def furnish(folder: Path) -> Path:
    """Write the tables of both text tasks and the teacher 'teacher' into ``folder``."""
    tested = pairs(40, seed=7)
    known = [query for query, _ in tested[:3]]  # three test queries that stand in the training split too
    write_csv(folder / "train.csv", ["text"], [[text] for text in [*sentences(150, seed=1), *known]])
    few = [text for text in sentences(200, seed=41) if not {"run", "running", "cafe"} & set(text.split())]
    write_csv(folder / "few.csv", ["text"], [[text] for text in few])  # texts that leave some tokens out
    write_csv(folder / "pairs.csv", ["query", "document"], tested)
    write_csv(folder / "scored.csv", ["first", "second", "score"], scored_pairs(40, seed=9))
    write_jsonl(folder / "train.jsonl", ["said", "about"], labelled(120, seed=11))
    write_jsonl(folder / "test.jsonl", ["said", "about"], labelled(60, seed=21))
    write_jsonl(folder / "more.jsonl", ["said"], [[text] for text in sentences(40, seed=31)])
    write_jsonl(folder / "other.jsonl", ["said"], [[" ".join(text)] for text in ("qqq", "xyz", "wvu", "jkl", "hgf")])
    tinybert.save_sentence_model(folder / "teacher")
    return folder


EMBEDDING = """\
task = "text-embedding"
seed = 3

[data]
use = "table"
train = "train.csv"
test = "pairs.csv"
selection = 30
max_length = 10

[teacher]
encoder = "teacher"

[student]
layers = 2

[[stages]]
use = "distill"
epochs = 10
batch_size = 20
learning_rate = 2e-3

[[stages]]
use = "export"
formats = ["onnx"]

[[stages]]
use = "quantize"
calibration_samples = 20
max_drop = 0.2

[proof]
shift_items = 10

[parity]
int8_cosine = 0.9
int8_drop = 0.2
formats_top1 = 0.8
formats_cosine = 0.9

[budget]
energy = "<= 10 J"
quality = ">= 10 % of teacher"
"""
CLASSIFICATION = """\
task = "text-classification"
seed = 3

[data]
use = "table"
train = "train.jsonl"
test = "test.jsonl"
unlabelled = "more.jsonl"
out_of_domain = "other.jsonl"
columns = { text = "said", label = "about" }
selection = 20
max_length = 12

[teacher]
encoder = "teacher"

[teacher.finetune]
epochs = 8
batch_size = 20
learning_rate = 3e-3

[student]
layers = 2

[[stages]]
use = "distill"
epochs = 6
batch_size = 20
learning_rate = 3e-3

[[stages]]
use = "finetune"
epochs = 2
batch_size = 20

[[stages]]
use = "export"
formats = ["onnx"]

[[stages]]
use = "quantize"
calibration_samples = 20
max_drop = 0.2
temperature = true

[proof]
shift_items = 10

[parity]
int8_top1 = 0.8
int8_cosine = 0.9
int8_drop = 0.2
formats_top1 = 0.8
formats_cosine = 0.9

[budget]
energy = "<= 10 J"
quality = ">= 50 % of teacher"
"""
