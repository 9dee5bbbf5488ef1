"""TaskData: the digest and the data are read when they are asked for, once."""

from pathlib import Path

import pytest
import tiny

from edgekd.data.dataset import digest
from edgekd.data.sources import DataConfig
from edgekd.errors import BadInputError
from edgekd.tasks import TASKS, TaskData, named
from edgekd.tasks.own import OwnTask


def test_a_function_is_called_once_and_digested_by_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = tiny.data
    monkeypatch.setattr(tiny, "data", lambda: calls.append(1) or real())
    data = TaskData("image-classification", DataConfig(use="tiny:data", selection=30))
    assert not calls
    assert data.digest == f"{digest(real())}:30"
    assert data.set.title == "tiny bars"
    assert len(calls) == 1


def test_the_number_of_rows_kept_for_choosing_is_part_of_the_digest() -> None:
    first, second = (
        TaskData("image-classification", DataConfig(use="tiny:data", selection=selection)) for selection in (30, 31)
    )
    assert first.source.digest() == second.source.digest()
    assert first.digest != second.digest


def test_the_data_is_bound_to_its_task(tmp_path: Path) -> None:
    task = TaskData("image-classification", DataConfig(use="tiny:data", selection=30)).open(None, tmp_path)
    assert (task.title, task.selection, task.count("train"), task.count("test")) == ("tiny bars", 30, 240, 60)


def test_an_unknown_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInputError, match="found the task 'image-clasification'") as caught:
        TaskData("image-clasification", DataConfig(use="tiny:data"))
    assert "did you mean 'image-classification'" in caught.value.hint


@pytest.mark.parametrize("name", TASKS)
def test_every_task_says_what_a_pipeline_needs_to_know(name: str) -> None:
    task = named(name)
    assert task is not None
    assert name == task.NAME
    assert set(task.DEFAULTS) <= {"distill", "prune", "finetune", "qat"}
    assert task.DataConfig.model_config["frozen"]
    assert task.DataConfig.__doc__


def test_a_name_with_a_colon_is_a_users_own_task() -> None:
    assert isinstance(named("mine:task"), OwnTask)
    assert named("mine") is None
