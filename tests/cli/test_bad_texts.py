"""Bad input of text pipelines: the whole message, exit code 2, and nothing half-written. In this process, for speed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import phrases
import pytest
import tinybert

from edgekd import cli

Refused = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The usual tables, with others and models that don't fit."""
    folder = phrases.furnish(tmp_path_factory.mktemp("bad texts"))
    phrases.write_jsonl(folder / "test-mat.jsonl", ["said", "about"], [("the mat", "mat"), ("a cat", "cat")])
    (folder / "bad.csv").touch()
    tinybert.save_model(folder / "two heads", num_attention_heads=2)
    tinybert.save_model(folder / "short", max_position_embeddings=12)
    (folder / "any.onnx").touch()
    words = tinybert.save_sentence_model(folder / "other words") / "tokenizer.json"
    words.write_text(words.read_text().replace('"##zz"', '"##zy"'))
    config = tinybert.save_sentence_model(folder / "own code") / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"AutoModel": "own.Model"}}))
    return folder


@pytest.fixture
def refused(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """Build a pipeline that must be refused, and return the message and the hint."""
    monkeypatch.chdir(shop)
    before = {path.name for path in shop.iterdir()}

    def build(text: str) -> tuple[str, str]:
        (shop / "bad.toml").write_text(text, encoding="utf-8")
        code = cli.run(["build", "bad.toml", "--device", "pixel8", "--quick", "-o", "out", "-q"])
        out, err = capsys.readouterr()
        assert (code, out) == (2, ""), err
        message, *hints = err.splitlines()
        assert message.startswith("error: ")
        assert all(line.startswith("hint: ") for line in hints)
        return message.removeprefix("error: "), "".join(hints).removeprefix("hint: ")

    yield build
    assert {path.name for path in shop.iterdir()} - before <= {"out", "bad.toml"}
    left = {path.name for path in (shop / "out").rglob("*")}
    assert not [name for name in left if name.startswith((".partial", "scratch-"))]
    assert not {"bad", "latest"} & {path.name for path in (shop / "out").glob("*")}, "there is a run folder"


def with_losses(text: str, losses: str, more: str = "") -> str:
    return text.replace('use = "distill"\n', f'use = "distill"\nlosses = [{losses}]\n{more}')


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


DISTILL = '[[stages]]\nuse = "distill"'


def with_table(shop: Path, content: bytes) -> str:
    """Write a training table, and return the pipeline that reads it."""
    (shop / "bad.csv").write_bytes(content)
    return phrases.EMBEDDING.replace('"train.csv"', '"bad.csv"')


def test_rows_with_empty_text(shop: Path, refused: Refused) -> None:
    message, hint = refused(with_table(shop, b'text\nthe cat\n" "\na dog\n""\n'))
    assert message == (
        "data set 'bad.csv, tested on pairs.csv', split 'train': found no text in 2 of 4 rows, "
        "the first in row 1 (counted from 0)"
    )
    assert hint == "fill in those rows or leave them out"


def test_mixed_encodings(shop: Path, refused: Refused) -> None:
    message, hint = refused(with_table(shop, "text\nthe café\n".encode() + "a café\n".encode("windows-1252")))
    assert message == "bad.csv:3: found the byte 0xe9, which is not UTF-8 there"
    assert hint == "save the whole file as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"


def test_a_label_that_never_occurs_in_training(refused: Refused) -> None:
    message, hint = refused(phrases.CLASSIFICATION.replace("test.jsonl", "test-mat.jsonl"))
    assert message == (
        "data set 'train.jsonl, tested on test-mat.jsonl': found no training text of the class 'mat', "
        "which 1 test texts have"
    )
    assert hint == "add such texts to the training split, or leave the class out"


def test_a_missing_column(refused: Refused) -> None:
    message, hint = refused(phrases.CLASSIFICATION.replace('text = "said"', 'text = "sayed"'))
    assert message == "train.jsonl: found no column 'sayed', only 'said', 'about'"
    assert hint.startswith("did you mean 'said'?")


def test_a_limit_on_length_above_the_models(refused: Refused) -> None:
    text = phrases.EMBEDDING.replace("max_length = 10", "max_length = 64")
    message, hint = refused(text)
    assert message == (
        f"bad.toml:{line_of(text, 'max_length')}: [data] max_length: found 64, expected at most 24, "
        "the tokens that the model 'teacher' takes"
    )
    assert hint == "write max_length = 24, or leave it out: then each model reads up to its own limit"


@pytest.mark.parametrize(
    ("teacher", "student", "length", "model", "most"),
    [
        ('encoder = "teacher"', "short", 14, "short", 12),
        ('encoder = "teacher"', "short", 30, "short", 12),
        ('encoder = "teacher"', "two heads", 30, "teacher", 24),
        ('onnx = "any.onnx"\ntokenizer = "teacher"', "two heads", 28, "teacher", 24),
    ],
)
def test_a_limit_on_length_above_that_of_any_model(
    teacher: str, student: str, length: int, model: str, most: int, refused: Refused
) -> None:
    text = phrases.EMBEDDING.replace('encoder = "teacher"', teacher).replace("layers = 2", f'encoder = "{student}"')
    message, hint = refused(text.replace("max_length = 10", f"max_length = {length}"))
    assert message.endswith(f": found {length}, expected at most {most}, the tokens that the model {model!r} takes")
    assert hint.startswith(f"write max_length = {most}, ")


LIVE = "found True: expected it left out: a fine-tuning has labels alone, and no teacher to run beside it"


def test_a_live_teacher_of_a_fine_tuning(refused: Refused) -> None:
    for table, key in (("[teacher.finetune]", "teacher.finetune.live"), ('use = "finetune"', "stages.1.live")):
        text = phrases.CLASSIFICATION.replace(table, f"{table}\nlive = true")
        assert refused(text) == (f"bad.toml:{line_of(text, 'live = true')}: {key}: {LIVE}", "")
    both = phrases.CLASSIFICATION.replace("[teacher]", "[[teachers]]").replace("[teacher.", "[teachers.")
    message, _ = refused(both.replace("[teachers.finetune]", "[teachers.finetune]\nlive = true"))
    assert message.endswith(f": teachers.0.finetune.live: {LIVE}")


def test_data_of_its_own_for_a_fine_tuning(refused: Refused) -> None:
    """What is wrong with it is said with the stage's line, and a teacher has none."""
    step = 'use = "finetune"'
    columns = 'columns = { text = "said", label = "about" }'

    def of(keys: str, before: str = step) -> tuple[str, str]:
        return refused(phrases.CLASSIFICATION.replace(before, f"{before}\ndata = {{ {keys} }}"))

    line = line_of(phrases.CLASSIFICATION, step)
    where = f"bad.toml:{line - 1}: stage 'finetune': "
    expected = "test-mat.jsonl: found the label 'mat', expected one of the pipeline's classes"
    assert of(f'use = "table", train = "test-mat.jsonl", {columns}') == (f"{where}{expected}", "did you mean 'cat'?")
    assert (
        of(f'use = "table", train = "nothing.jsonl", {columns}')[0] == f"{where}data train: found no file nothing.jsonl"
    )
    message, hint = of(f'use = "table", train = "test.jsonl", {columns}')
    assert message == f"{where}data set 'test.jsonl': found every training text in the test split too"
    message, hint = of(f'use = "table", train = "train.jsonl", {columns}, selection = 300')
    assert message.startswith(f"{where}training split: found 60 texts of class 0, expected at least 150")
    assert hint.endswith("(data selection, calibration_samples)")
    message, _ = of(f'use = "table", tran = "train.jsonl", {columns}')
    assert message == f"bad.toml:{line + 1}: found the unknown key 'stages.1.data.tran'"
    message, _ = of(f'use = "table", train = "train.jsonl", {columns}', "[teacher.finetune]")
    assert message.endswith(": found the unknown key 'teacher.finetune.data'")


def test_an_unknown_loss(refused: Refused) -> None:
    text = with_losses(phrases.EMBEDDING, '{ use = "cosin" }')
    message, hint = refused(text)
    assert message.startswith("bad.toml:")
    assert "losses[0] use: found 'cosin', did you mean 'cosine'?" in message
    assert hint == ""


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        (
            '{ use = "labels" }',
            "'labels': found outputs that are vectors, expected logits, for which there can be labels",
        ),
        ('{ use = "z-scored-logits" }', "'z-scored-logits': found outputs that are vectors, expected logits"),
        ('{ use = "cosine", widths = [64] }', "'cosine': found "),
    ],
)
def test_a_loss_that_the_task_cannot_have(losses: str, reason: str, refused: Refused) -> None:
    text = with_losses(phrases.EMBEDDING, losses)
    message, _ = refused(text)
    assert message.startswith(f"bad.toml:{line_of(text, DISTILL)}: stage 'distill': losses[0] {reason}")


def test_a_loss_between_coordinates_of_vectors_of_other_widths(refused: Refused) -> None:
    text = phrases.EMBEDDING.replace("layers = 2", "layers = 2\noutput_width = 8")
    message, _ = refused(text)
    assert message.startswith(
        f"bad.toml:{line_of(text, DISTILL)}: stage 'distill': losses[0] 'cosine': found a student with 8 dimensions "
        "and a teacher with 32, expected as many: coordinates are compared one by one; "
    )


HIDDEN = '{ use = "cosine" }, { use = "hidden", layers = { "backbone.encoder.layer.0" = "backbone.encoder.layer.1" } }'


def test_a_loss_that_looks_inside_a_teacher_that_is_not_live(refused: Refused) -> None:
    text = with_losses(phrases.EMBEDDING, HIDDEN)
    message, _ = refused(text)
    assert message == (
        f"bad.toml:{line_of(text, DISTILL)}: stage 'distill': found losses that look inside the teacher, "
        "expected live = true: it runs beside the student"
    )


@pytest.mark.parametrize("use", ["hidden", "attention", "relations"])
def test_other_tokenizers_where_a_loss_needs_the_same(use: str, refused: Refused) -> None:
    text = with_losses(phrases.EMBEDDING, HIDDEN.replace("hidden", use), "live = true\n")
    message, _ = refused(text.replace("layers = 2", 'encoder = "other words"'))
    assert message.startswith(
        f"bad.toml:{line_of(text, DISTILL)}: stage 'distill': losses[1] {use!r}: found a student and a teacher "
        "that read different inputs or tokens, expected positions that correspond"
    )


def test_attention_of_other_numbers_of_heads(refused: Refused) -> None:
    layers = '{ "backbone.encoder.layer.0.attention.self" = "backbone.encoder.layer.1.attention.self" }'
    losses = f'{{ use = "cosine" }}, {{ use = "attention", layers = {layers} }}'
    text = with_losses(phrases.EMBEDDING, losses, "live = true\n").replace("layers = 2", 'encoder = "two heads"')
    message, _ = refused(text)
    assert message == (
        f"bad.toml:{line_of(text, DISTILL)}: stage 'distill': losses[1] 'attention': found no attention maps that "
        "can be compared, expected two transformers with as many heads each; 'relations' needs no equal number of heads"
    )


def test_a_layer_that_is_not_there(refused: Refused) -> None:
    losses = HIDDEN.replace('= "backbone.encoder.layer.1"', '= "backbone.encoder.layer.7"')
    message, hint = refused(with_losses(phrases.EMBEDDING, losses, "live = true\n"))
    assert message == "losses: the teacher: found no layer 'backbone.encoder.layer.7' in the model"
    assert hint.startswith("did you mean 'backbone.encoder.layer.")


def test_a_model_with_code_of_its_own_that_nobody_trusts(refused: Refused) -> None:
    message, hint = refused(phrases.EMBEDDING.replace('"teacher"', '"own code"'))
    assert message == "found own code, whose config.json (auto_map) runs Python code that comes with the model"
    assert hint == "read that code; if you trust it, write trust_remote_code = true beside the model's name"


def test_a_step_that_needs_labels_where_there_are_none(refused: Refused) -> None:
    text = phrases.EMBEDDING.replace(
        '[[stages]]\nuse = "export"', '[[stages]]\nuse = "finetune"\nepochs = 1\n\n[[stages]]\nuse = "export"'
    )
    message, _ = refused(text)
    assert message == "bad.toml: found the stage 'finetune' with text-embedding, which has no labels"


def test_a_loss_that_overflows_stops_and_keeps_the_last_good_weights(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(shop)
    growing = "{ use = 'cosine', weight = { from = 1.0, to = 1e39 } }"  # beyond what 32 bits hold after a third
    (shop / "bad.toml").write_text(with_losses(phrases.EMBEDDING, growing).replace("epochs = 10", "epochs = 4"))
    code = cli.run(["build", "bad.toml", "--device", "pixel8", "--quick", "-o", "out", "-q"])
    out, err = capsys.readouterr()
    message, hint = err.splitlines()
    assert (code, out) == (3, "")
    assert re.fullmatch(r"error: the loss is inf in step \d+ of 24 \(epoch 2\)", message)
    kept = "hint: lower learning_rate or the losses' weights; the weights after epoch 1 are kept in "
    assert hint.startswith(kept)
    state = torch.load(shop / hint.removeprefix(kept), weights_only=True)
    assert len(state["qualities"]) == 1
    assert all(bool(tensor.isfinite().all()) for tensor in state["model"].values())
    assert not (shop / "out" / "bad").exists()
