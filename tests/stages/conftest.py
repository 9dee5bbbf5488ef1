"""The tiny pipeline's artifacts, and a context in which a stage can be run again in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import Built

from edgekd.artifact import Artifact
from edgekd.data.sources import DataConfig
from edgekd.stages.base import Context
from edgekd.store import Reading
from edgekd.tasks import TaskData

Making = Callable[[str], Artifact]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "scratch").mkdir()
    data = TaskData("image-classification", DataConfig(use="tiny:data", selection=30))
    return Context(tmp_path / "scratch", tmp_path / "partial", data, 5, 1, lambda *_: None)


@pytest.fixture
def artifact(built: Built) -> Making:
    """An artifact of the session's build, by the SHA-256 that its report gives."""
    store = Reading(built.output / ".store")
    found = [store.find(path.name) for path in store.root.iterdir()]
    by_digest = {each.sha256: each for each in found if each is not None}
    digests = {row["kind"]: row["sha256"] for row in built.report["artifacts"]}
    return lambda kind: by_digest[digests[kind]]
