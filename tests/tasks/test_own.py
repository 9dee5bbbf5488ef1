"""A task of the user's own, as far as a pipeline and its data tell."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from edgekd.errors import BadInputError
from edgekd.tasks import TaskData, named, outputs_of
from edgekd.tasks.base import Outputs
from edgekd.tasks.own import OwnConfig

MODULE = """\
    import numpy as np
    from edgekd.tasks.base import Outputs, Scored, Task

    class Mine(Task):
        metric = "mean length"
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
    assert task.rows(0).selection.tolist() != task.rows(0).fit.tolist()


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


def test_vectors_without_labels_are_chosen_by_their_nearness_to_the_teacher(mine: str, tmp_path: Path) -> None:
    task = opened(f"{mine}:task", tmp_path, selection=2, outputs="vectors")
    chance = np.random.default_rng(0)
    teacher, rows = chance.normal(size=(8, 6)), np.arange(8)
    wider = np.hstack([teacher, np.zeros((8, 2))])
    assert task.quality(wider, rows, teacher) == pytest.approx(1.0)
    assert abs(task.quality(chance.normal(size=(8, 3)), rows, teacher)) < 0.9
    assert task.quality(np.ones((8, 3)), rows, teacher) == 0.0
