"""Pipelines of texts for tests that plan and build nothing: encoders as folders of JSON, and tables of a few rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinybert import word_piece

TEACHER = '[teacher]\nencoder = "teacher"\n'
STUDENT = "[student]\nlayers = 2\n"
PIPELINE = f"""\
task = "text-embedding"

[data]
use = "table"
train = "train.csv"
test = "test.csv"
selection = 2
max_length = 16

{TEACHER}
{STUDENT}
[[stages]]
use = "distill"
epochs = 1

[[stages]]
use = "export"
formats = ["onnx"]

[[stages]]
use = "quantize"

[budget]
quality = ">= 50 %"
"""


def describe(folder: Path, *, heads: int = 4, hidden: int = 32, **more: Any) -> Path:
    """Write the JSON files of a sentence-transformers model, which is all that a plan reads."""
    (folder / "1_Pooling").mkdir(parents=True)
    tokenizer = word_piece()
    sizes = {"hidden_size": hidden, "num_hidden_layers": 4, "num_attention_heads": heads, "intermediate_size": 48}
    config = {"model_type": "bert", "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 40, **sizes}
    parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
    files: dict[str, Any] = {
        "config.json": {**config, **more},
        "tokenizer_config.json": {"pad_token": "[PAD]", "model_max_length": 32},
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": hidden, "pooling_mode": "mean"},
        "modules.json": [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(parts)
        ],
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def furnish(folder: Path) -> Path:
    """A folder with a teacher, an encoder like it, one with more heads, and the tables."""
    describe(folder / "teacher")
    describe(folder / "alike")
    describe(folder / "wider", heads=8, hidden=64)
    (folder / "train.csv").write_text("text\n" + "".join(f"the cat sat {word}\n" for word in "abcdef"))
    (folder / "test.csv").write_text("query,document\ncat,the cat\ndog,the dog\n")
    return folder
