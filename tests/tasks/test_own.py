"""A task of the user's own, as far as a pipeline and its data tell."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from edgekd.errors import BadInputError
from edgekd.tasks import TaskData, named, outputs_of, own
from edgekd.tasks.base import Outputs
from edgekd.tasks.own import OwnConfig, repeated

MODULE = """\
    import numpy as np
    from edgekd.tasks.base import Outputs, Scored, Task

    class Mine(Task):
        metric = "mean length"
        problems = ("one sensor failed",)
        outputs = Outputs.VECTORS

        def count(self, split):
            return 4

        def inputs(self, split, rows, view=0):
            return {"x": np.ones((len(rows), 2), np.float32)}

        def score(self, outputs):
            return Scored(np.linalg.norm(outputs, axis=1))

    def task(size=1):
        return Mine() if size == 1 else "no task"

    def broken():
        raise OSError("no such sensor")
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"mine_{tmp_path.name}".replace("-", "_")  # each test imports a module of its own
    (tmp_path / f"{name}.py").write_text(dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def opened(name: str, folder: Path, **options: Any) -> Any:
    return TaskData(name, OwnConfig(**options)).open(None, folder)


def test_the_function_gets_what_the_data_table_holds_besides(mine: str, tmp_path: Path) -> None:
    config = OwnConfig(selection=2, outputs="vectors", size=1)
    assert config.options == {"size": 1}
    task = opened(f"{mine}:task", tmp_path, selection=2, outputs="vectors", size=1)
    assert (task.metric, task.selection, task.row, task.classes) == ("mean length", 2, "row", ())
    kept = task.rows(0)
    assert (len(kept.selection), len(kept.fit)) == (2, 2)
    assert sorted([*kept.selection, *kept.fit]) == [0, 1, 2, 3]


def repeating(train: list[list[float]], test: list[list[float]]) -> Any:
    """A task whose inputs are rows of two tensors; it notes how many rows are read at once."""
    from edgekd.tasks.base import Arrays, Rows, Scored, Split, Task

    class Repeating(Task):
        metric, row = "nothing", "window"
        most = 0

        def count(self, split: Split) -> int:
            return len(self.of(split))

        def inputs(self, split: Split, rows: Rows, view: int = 0) -> Arrays:
            assert view == 0
            self.most = max(self.most, len(rows))
            chosen = self.of(split)[rows]
            return {"first": chosen[:, :1], "second": chosen[:, 1:]}

        def score(self, outputs: Any) -> Scored:
            raise NotImplementedError

        def of(self, split: Split) -> Any:
            return np.asarray({"train": train, "test": test}.get(split, []), np.float32)

    return Repeating()


def test_test_rows_all_of_whose_inputs_are_a_training_rows_are_counted() -> None:
    task = repeating([[0, 1], [2, 3], [4, 5]], [[4, 0], [2, 3], [0, 1], [1, 0]])
    (said,) = repeated(task)
    assert said == (
        "2 of 4 test windows occur in training too (the first: test window 1, training window 1); they were kept"
    )
    assert task.most == 1, "rows are read one by one"
    assert repeated(repeating([[0, 1]], [[1, 0]])) == ()


def test_rows_are_not_compared_where_there_are_too_many_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MOST_COMPARED", 3)
    task = repeating([[0, 1], [2, 3]], [[0, 1], [2, 3]])
    assert repeated(task) == (
        "test windows that occur in training too were not looked for: found 4 windows, more than 3",
    )
    assert task.most == 0


def test_what_is_repeated_stands_beside_the_tasks_own_notes(mine: str, tmp_path: Path) -> None:
    task = opened(f"{mine}:task", tmp_path, outputs="vectors")
    assert task.notes() == (
        "one sensor failed",
        "4 of 4 test rows occur in training too (the first: test row 0, training row 0); they were kept",
    )


def test_options_and_code_decide_the_digest(mine: str, tmp_path: Path) -> None:
    first, again, other = (TaskData(f"{mine}:task", OwnConfig(size=size)).digest for size in (1, 1, 2))
    assert first == again
    assert first != other
    (tmp_path / f"{mine}.py").write_text(dedent(MODULE) + "# changed\n")
    assert TaskData(f"{mine}:task", OwnConfig(size=1)).digest != first


def test_what_models_give_is_said_in_the_data_table(mine: str, tmp_path: Path) -> None:
    assert outputs_of("mine:task", OwnConfig()) is Outputs.LOGITS
    assert outputs_of("mine:task", OwnConfig(outputs="vectors")) is Outputs.VECTORS
    assert outputs_of("text-embedding", None) is Outputs.VECTORS
    assert outputs_of("no-task", None) is None
    with pytest.raises(BadInputError) as caught:
        opened(f"{mine}:task", tmp_path)
    assert caught.value.message == (
        f"task: {mine}:task returned a task whose outputs are vectors, and [data] outputs says logits"
    )
    assert caught.value.hint == "write outputs = 'vectors' in [data]"


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("task", {"size": 2}, "returned a str, expected edgekd.tasks.base.Task"),
        ("broken", {}, "raised OSError: no such sensor"),
        ("task", {"sise": 2}, "raised TypeError: task() got an unexpected keyword argument 'sise'"),
    ],
)
def test_a_function_that_gives_no_task_is_refused(
    function: str, options: dict[str, Any], message: str, mine: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError) as caught:
        opened(f"{mine}:{function}", tmp_path, **options)
    assert caught.value.message == f"task: {mine}:{function} {message}"


def test_a_module_that_is_not_there_is_refused_before_it_is_called() -> None:
    found = named("nowhere_at_all:task")
    assert found is not None
    with pytest.raises(BadInputError, match="task: found the module 'nowhere_at_all'"):
        found.source(OwnConfig(), None).check()


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_without_labels_are_chosen_by_their_nearness_to_the_teacher(mine: str, tmp_path: Path) -> None:
    task = opened(f"{mine}:task", tmp_path, selection=2, outputs="vectors")
    chance = np.random.default_rng(0)
    teacher, rows = chance.normal(size=(8, 6)), np.arange(8)
    wider = np.hstack([teacher, np.zeros((8, 2))])
    assert task.quality(wider, rows, teacher) == pytest.approx(1.0)
    other = chance.normal(size=(8, 3))
    cosines = [(each @ each.T)[np.triu_indices(8, 1)] for each in (unit(other), unit(teacher))]
    assert task.quality(other, rows, teacher) == pytest.approx(np.corrcoef(*cosines)[0, 1])
    assert task.quality(np.ones((8, 3)), rows, teacher) == 0.0
