"""By which tokenizer each model reads, under which name that is an artifact, and where nobody says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import encoders
import pytest
from workshop import ONNX_ONLY

from edgekd import pipeline
from edgekd.errors import BadInputError
from edgekd.readers import Readers

TABLE = 'outputs = "t.parquet"'
FILE = 'onnx = "t.onnx"'
OWN = 'model = "tinynet:student"'
BESIDE = "without a tokenizer, and teachers that read by FOLDER/teacher, FOLDER/wider,"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return encoders.furnish(tmp_path)


def readers(folder: Path, *teachers: str, student: str = "layers = 2", text: str = encoders.PIPELINE) -> Readers:
    """Of a pipeline with these teachers, each the lines of its table; with the usual one if there are none."""
    several = "".join(f"[[teachers]]\n{lines}\n" for lines in teachers)
    table = {0: encoders.TEACHER, 1: several.replace("[[teachers]]", "[teacher]")}.get(len(teachers), several)
    text = text.replace(encoders.TEACHER, table).replace(encoders.STUDENT, f"[student]\n{student}\n")
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return Readers(pipeline.load(str(folder / "mine.toml")))


def of(*names: str) -> list[str]:
    return [f'encoder = "{name}"' for name in names]


def steps(found: Readers) -> dict[str, str]:
    """For each tokenizer the folder that it comes from, or the name of the one that it is a part of."""
    made: dict[str, str] = {}
    for node in found.steps():
        part = node.stage == "trim_vocabulary"
        made[node.name] = node.inputs[0] if part else Path(str(node.config.model_dump()["source"])).name
    return made


@pytest.mark.parametrize(
    ("teachers", "student", "read", "expected"),
    [
        (of("teacher"), "layers = 2", [("tokenizer",)], {"tokenizer": "teacher"}),
        (
            of("teacher"),
            'layers = 2\nvocabulary = "trimmed"',
            [("teacher_tokenizer",)],
            {"teacher_tokenizer": "teacher", "tokenizer": "teacher_tokenizer"},
        ),
        (
            of("teacher"),
            'encoder = "alike"',
            [("teacher_tokenizer",)],
            {"teacher_tokenizer": "teacher", "tokenizer": "alike"},
        ),
        (
            of("teacher"),
            'encoder = "alike"\nvocabulary = "trimmed"',
            [("teacher_tokenizer",)],
            {"teacher_tokenizer": "teacher", "student_tokenizer": "alike", "tokenizer": "student_tokenizer"},
        ),
        (
            of("teacher", "wider"),
            'encoder = "wider"\nvocabulary = "trimmed"',
            [("teacher_1_tokenizer",), ("teacher_2_tokenizer",)],
            {"teacher_1_tokenizer": "teacher", "teacher_2_tokenizer": "wider", "tokenizer": "teacher_2_tokenizer"},
        ),
        (
            of("teacher", "wider"),
            'encoder = "alike"',
            [("teacher_1_tokenizer",), ("teacher_2_tokenizer",)],
            {"teacher_1_tokenizer": "teacher", "teacher_2_tokenizer": "wider", "tokenizer": "alike"},
        ),
        (
            of("teacher", "wider"),
            f'{OWN}\ntokenizer = "wider"',
            [("teacher_1_tokenizer",), ("tokenizer",)],
            {"teacher_1_tokenizer": "teacher", "tokenizer": "wider"},
        ),
        (
            [TABLE, *of("wider", "wider", "alike")],
            'encoder = "teacher"',
            [(), ("teacher_2_tokenizer",), ("teacher_2_tokenizer",), ("teacher_4_tokenizer",)],
            {"teacher_2_tokenizer": "wider", "teacher_4_tokenizer": "alike", "tokenizer": "teacher"},
        ),
        (
            [*of("teacher"), 'encoder = "wider"\ntokenizer = "teacher"', FILE],
            OWN,
            [("tokenizer",)] * 3,
            {"tokenizer": "teacher"},
        ),
        ([f'{TABLE}\ntokenizer = "wider"'], OWN, [()], {"tokenizer": "wider"}),
        ([TABLE], 'encoder = "wider"', [()], {"tokenizer": "wider"}),
    ],
)
def test_each_model_reads_by_its_own_tokenizer_which_is_loaded_once(
    teachers: list[str], student: str, read: list[tuple[str, ...]], expected: dict[str, str], folder: Path
) -> None:
    found = readers(folder, *teachers, student=student)
    assert [found.of_teacher(number) for number in range(len(teachers))] == read
    assert found.of_student() == ("tokenizer",)
    assert steps(found) == expected


def test_images_have_none(folder: Path) -> None:
    found = readers(folder, text=ONNX_ONLY)
    assert (found.of_teacher(0), found.of_student(), steps(found), found.length, found.folders) == (
        (),
        (),
        {},
        None,
        {},
    )


@pytest.mark.parametrize(
    ("teachers", "student", "line", "message", "table"),
    [
        ([FILE], 'encoder = "teacher"', "[teacher]", "a teacher given as onnx = '…' without a tokenizer,", "[teacher]"),
        ([TABLE], OWN, "[student]", "a student without a tokenizer,", "[student]"),
        (
            [*of("teacher", "wider"), FILE],
            'encoder = "alike"',
            f"[[teachers]]\n{FILE}",
            f"a teacher given as onnx = '…' {BESIDE}",
            "[[teachers]]",
        ),
        (
            of("teacher", "wider"),
            OWN,
            "[student]",
            f"a student {BESIDE}",
            "[student]",
        ),
    ],
)
def test_a_model_of_which_nobody_says_how_it_reads_is_refused(
    teachers: list[str], student: str, line: str, message: str, table: str, folder: Path
) -> None:
    found = readers(folder, *teachers, student=student)
    text = (folder / "mine.toml").read_text()
    at = text[: text.index(line)].count("\n") + 1
    with pytest.raises(BadInputError) as caught:
        list(found.steps())
    expected = message.replace("FOLDER", str(folder))
    assert caught.value.message == f"{folder / 'mine.toml'}:{at}: found {expected} expected one for its texts"
    assert caught.value.hint == f"name the folder that has it: tokenizer = 'FOLDER' in {table}"


def test_every_folder_that_limits_the_length_is_known(folder: Path) -> None:
    found = readers(folder, *of("teacher"), 'encoder = "wider"\ntokenizer = "alike"', student='encoder = "teacher"')
    assert found.folders == {name: str(folder / name) for name in ("teacher", "wider", "alike")}
    assert found.length == 16


def change_case(folder: Path) -> None:
    path = folder / "tokenizer.json"
    saved: dict[str, Any] = json.loads(path.read_text())
    saved["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(saved))


def test_tokens_are_the_same_if_the_tokenizers_are_wherever_they_lie(folder: Path) -> None:
    assert readers(folder, text=ONNX_ONLY).same_tokens()
    assert readers(folder).same_tokens()
    assert readers(folder, student='encoder = "alike"').same_tokens()
    assert readers(folder, *of("teacher", "wider"), student='encoder = "alike"').same_tokens()
    assert not readers(folder, TABLE, student='encoder = "alike"').same_tokens()
    change_case(folder / "alike")
    assert not readers(folder, student='encoder = "alike"').same_tokens()
    assert not readers(folder, *of("teacher", "alike"), student='encoder = "teacher"').same_tokens()


@pytest.mark.parametrize(("least", "same"), [(1, True), (2, False)])
def test_a_vocabulary_without_rare_tokens_cuts_training_texts_differently(
    least: int,
    same: bool,  # noqa: FBT001
    folder: Path,
) -> None:
    student = f'layers = 2\nvocabulary = "trimmed"\ntoken_min_count = {least}'
    assert readers(folder, student=student).same_tokens() is same
