"""A teacher's outputs by row id: what is found, and what is refused before anything runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import tiny
from handmade import ids, write_table

from edgekd.algorithms.confidence import probabilities
from edgekd.data.texts import Pairs, Texts, TextSet
from edgekd.errors import BadInputError, StageError
from edgekd.models.outputs_table import OutputsTable, check, convert
from edgekd.tasks.base import Arrays, Outputs, Rows, Scored, Split, Task
from edgekd.tasks.image_classification import ImageClassification
from edgekd.tasks.text_classification import TextClassification
from edgekd.tasks.text_embedding import TextEmbedding

TASK = ImageClassification(tiny.data(), 30)
ALL = ids("train", "test")
VALUES = np.random.default_rng(4).normal(size=(len(ALL), 3)).astype(np.float32)


class Numbered(Task):
    """As many training rows as the table needs several batches for."""

    metric = "nothing"

    def count(self, split: Split) -> int:
        return 9000 if split == "train" else 0

    def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
        raise NotImplementedError

    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        raise NotImplementedError


def opened(path: Path, outputs: Outputs = Outputs.LOGITS) -> OutputsTable:
    target = path.with_suffix(".arrow")
    convert(path, target, outputs)
    return OutputsTable.open(target)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float32(), 3),
        pa.list_(pa.float16()),
    ],
    ids=str,
)
def test_outputs_are_found_by_id_whatever_the_order_and_the_type(kind: pa.DataType, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(len(ALL))
    column = pa.array([VALUES[row].astype(np.float16).astype(float).tolist() for row in order], kind)
    path = write_table(tmp_path / "t.parquet", id=[ALL[row] for row in order], output=column, other=order)
    assert check(path, TASK) == {"train", "test"}
    table = opened(path)
    rows = np.array([7, 0, 239, 7])
    expected = VALUES.astype(np.float16).astype(np.float32)
    assert table.outputs(TASK, "train", rows).tolist() == expected[rows].tolist()
    assert table.outputs(TASK, "test", np.arange(60)).tolist() == expected[240:].tolist()
    assert table.outputs(TASK, "test", np.arange(0)).shape == (0, 3)


def test_a_table_of_several_batches_is_mapped_and_not_read(tmp_path: Path) -> None:
    task, order = Numbered(), np.random.default_rng(2).permutation(9000)
    values = np.stack([order, -order], 1).astype(np.float32)
    table = opened(write_table(tmp_path / "t.parquet", id=[f"train/{row}" for row in order], output=values))
    assert len(table.parts) > 2
    assert not any(part.flags.owndata or part.flags.writeable for part in table.parts)
    rows = np.array([8999, 0, 4096, 4095])
    assert table.outputs(task, "train", rows).tolist() == np.stack([rows, -rows], 1).tolist()
    assert table.covers(task, "train")


def test_probabilities_become_logits(tmp_path: Path) -> None:
    given = probabilities(VALUES)
    given[0] = [1.0, 0.0, 0.0]
    table = opened(write_table(tmp_path / "t.parquet", id=ALL, probabilities=given))
    found = table.outputs(TASK, "train", np.arange(9))
    assert found[0].tolist() == pytest.approx([0.0, np.log(1e-6), np.log(1e-6)])
    assert probabilities(found[1:]) == pytest.approx(given[1:9], abs=1e-6)


def test_the_test_rows_may_be_left_out(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", id=ids("train"), output=VALUES[:240])
    assert check(path, TASK) == {"train"}
    table = opened(path)
    assert not table.covers(TASK, "test")
    with pytest.raises(StageError, match="found no output for some of 60 test rows, view 0"):
        table.outputs(TASK, "test", np.arange(60))
    with pytest.raises(StageError, match="view 1"):
        table.outputs(TASK, "train", np.arange(2), 1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ALL}, "found id (string), expected a column 'id' and a column 'output'"),
        ({"name": ALL, "output": VALUES}, "found name (string), output (list<"),
        ({"id": ALL, "output": VALUES, "probabilities": VALUES}, "expected a column 'id' and a column 'output'"),
        ({"id": ALL, "output": VALUES[:, 0]}, "found a column 'output' of type double"),
        ({"id": ALL, "output": [["a"]] * 300}, "found a column 'output' of type list<"),
        ({"id": np.arange(300.0), "output": VALUES}, "found ids of type double, expected text or whole numbers"),
        ({"id": [*ALL[:-1], None], "output": VALUES}, "found rows without an id, expected one in each"),
        (
            {"id": [*ALL[:17], "train/4", *ALL[18:-1], "train/4"], "output": VALUES},
            "found 2 rows whose id an earlier row has, the first 'train/4' in row 17 (counted from 0)",
        ),
        (
            {"id": [f"{name}x" if name in ("train/8", "train/99") else name for name in ALL], "output": VALUES},
            "found no output for 2 of 240 train rows, for example 'train/8', 'train/99'",
        ),
        ({"id": [*ALL[:-2], "a", "b"], "output": VALUES}, "found no output for 2 of 60 test rows, for example 'test/5"),
        ({"id": [], "output": pa.array([], pa.list_(pa.float32()))}, "found no rows, expected an output for each"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", **columns)
    with pytest.raises(BadInputError, match=re.escape(message)) as caught:
        check(path, TASK)
    assert caught.value.message.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"output": [*VALUES[:-1].tolist(), [1.0]]}, "found 1 values in the row 'test/59', expected 3 as in the first"),
        (
            {"output": [[1.0, np.nan, 0.0], None, [1.0, None, 0.0], [1e300, 0.0, 0.0], *VALUES[4:].tolist()]},
            "found missing, NaN or infinite values in 4 rows, for example 'train/0', 'train/1', 'train/2'",
        ),
        ({"probabilities": VALUES - 9}, "found numbers that are no probabilities in 300 rows, for example 'train/0'"),
        ({"output": [None] * 299 + [[]]}, "found no output in any row of the column 'output'"),
    ],
)
def test_values_that_teach_nothing_are_refused(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    kind = pa.list_(pa.float64())
    path = write_table(tmp_path / "t.parquet", id=ALL, **{name: pa.array(list(v), kind) for name, v in columns.items()})
    with pytest.raises(BadInputError, match=re.escape(message)):
        convert(path, tmp_path / "t.arrow", Outputs.LOGITS)


def test_probabilities_are_refused_for_vectors(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", id=ALL, probabilities=VALUES)
    with pytest.raises(BadInputError, match="found a column 'probabilities', expected 'output': the task gives v"):
        convert(path, tmp_path / "t.arrow", Outputs.VECTORS)


@pytest.mark.parametrize("kept", [0, 4, 200, -3000])
def test_a_damaged_file_is_refused(kept: int, tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", id=ALL, output=VALUES)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadInputError, match="can't be read as Parquet"):
        check(path, TASK)


def test_damaged_pages_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", id=ALL, output=VALUES)
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="found a damaged Parquet file"):
        check(path, TASK)


def texts(**more: Any) -> TextSet:
    labels = np.array([0, 1] * 5)
    words = [f"text {number}" for number in range(10)]
    numbers: Any = list(range(100, 110))  # as a column of whole numbers gives them
    train = Texts(words, labels, numbers)
    test = Texts(["one", "two"], labels[:2], ids=["t1", "t2"])
    return replace(TextSet("tiny texts", ("a", "b"), train, test), **more)


def classification(data: TextSet, tmp_path: Path) -> Task:
    return TextClassification(data, 2, None, tmp_path)


def test_texts_go_by_their_own_ids_and_unlabelled_ones_follow(tmp_path: Path) -> None:
    extra = Texts(["x", "y"], None, ids=["u1", "u2"])
    task = classification(texts(unlabelled=extra, out_of_domain=extra.select(np.array([0]))), tmp_path)
    assert task.ids("train", np.array([11, 0, 10, 9])) == ["u2", "100", "u1", "109"]
    assert task.ids("test", np.array([1])) == ["t2"]
    assert task.ids("out_of_domain", np.array([0])) == ["u1"]


def test_texts_without_ids_are_refused(tmp_path: Path) -> None:
    data = texts()
    task = classification(texts(train=Texts(data.train.texts, data.train.labels)), tmp_path)
    path = write_table(tmp_path / "t.parquet", id=ALL, output=VALUES)
    with pytest.raises(BadInputError, match="tiny texts, split 'train': found texts without ids"):
        check(path, task)


def test_rows_of_the_data_that_share_an_id_are_refused(tmp_path: Path) -> None:
    names = [str(number) for number in range(100, 110)]
    path = write_table(tmp_path / "t.parquet", id=names, output=VALUES[:10])
    data = texts()
    for change, name in (
        ({"train": Texts(data.train.texts, data.train.labels, [*names[:9], "104"])}, "104"),
        ({"test": Texts(["one", "two"], np.array([0, 1]), ["zzz", "107"])}, "107"),
    ):
        with pytest.raises(BadInputError, match=f"found one output for two rows of the data with the id '{name}'"):
            check(path, classification(texts(**change), tmp_path))


def test_pairs_are_queries_and_documents(tmp_path: Path) -> None:
    pairs = Pairs(["q0", "q1"], ["d0", "d1"], np.array([0, 0]))
    task = TextEmbedding(texts(classes=(), test=pairs), 2, None, tmp_path)
    names = ["test/query/0", "test/query/1", "test/document/0", "test/document/1"]
    assert task.ids("test", np.arange(4)) == names
    path = write_table(tmp_path / "t.parquet", id=[*map(str, range(100, 110)), *names], output=VALUES[:14])
    assert check(path, task) == {"train", "test"}
    assert opened(path, Outputs.VECTORS).outputs(task, "test", np.array([3])).tolist() == VALUES[13:14].tolist()
