"""What an older or newer edgekd left in the store is not used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workshop import ONNX_ONLY

from edgekd import device, executor, pipeline, planning
from edgekd.artifact import Kind
from edgekd.data.tokens import Tokenizer
from edgekd.errors import BadInputError
from edgekd.planning import Plan
from edgekd.progress import Quiet
from edgekd.store import MANIFEST, Product, Recipe, Store


@pytest.fixture
def outputs_only(tmp_path: Path, weights: Path) -> Plan:
    """The tiny pipeline as far as the teacher's outputs."""
    (tmp_path / "tiny.toml").write_text(ONNX_ONLY.replace("teacher.safetensors", str(weights)))
    whole = planning.make(pipeline.load(str(tmp_path / "tiny.toml")), device.load("pixel8"), planning.Options())
    names = [node.name for node in whole.nodes]
    return replace(whole, nodes=whole.nodes[: names.index("teacher_outputs") + 1])


def recipe(made: Plan, store: Store) -> Recipe:
    """The recipe of the teacher's outputs."""
    (teacher, *_) = executor.run(replace(made, nodes=made.nodes[:1]), store, Quiet())
    return executor.recipe_of(made.nodes[-1], made, {"teacher": teacher.artifact})


def write_wrong(folder: Path) -> Product:
    """Outputs that no teacher gave."""
    path = folder / "outputs.npy"
    np.save(path, np.full((450, 3), 7, np.float16))
    return Product(path, {"views": 2, "fitted": 210, "width": 3})


def test_outputs_that_another_version_cached_are_not_used(outputs_only: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    now = recipe(outputs_only, store)
    for version in (now.version - 1, now.version + 1):
        old = replace(now, version=version)
        store.make(old, Kind.OUTPUTS, write_wrong)
        assert store.find(old.key) is not None
    *_, step = executor.run(outputs_only, store, Quiet())
    assert not step.cached
    assert step.artifact.key == now.key
    assert not (np.load(step.artifact.path) == 7).any()


def test_shards_that_another_version_left_are_not_used(outputs_only: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    now = recipe(outputs_only, store)
    shards = store.partial(replace(now, version=now.version - 1).key) / "shards"
    shards.mkdir(parents=True)
    np.save(shards / "000000.npy", np.full((450, 3), 7, np.float16))
    *_, step = executor.run(outputs_only, store, Quiet())
    assert not (np.load(step.artifact.path) == 7).any()
    assert (shards / "000000.npy").is_file(), "what isn't ours to judge stays"


@pytest.mark.parametrize("change", [{"format": 0}, {"sha256": "0" * 64}, {"kind": "unheard of"}])
def test_a_manifest_of_another_version_is_made_again(
    change: dict[str, object], outputs_only: Plan, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    *_, first = executor.run(outputs_only, store, Quiet())
    path = store.root / first.artifact.key / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    teacher, again = executor.run(outputs_only, store, Quiet())
    assert (teacher.cached, again.cached) == (True, False)
    assert again.artifact.sha256 == first.artifact.sha256


def test_a_tokenizer_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"edgekd_tokenizer": 0}))
    with pytest.raises(BadInputError, match="which is no tokenizer that edgekd saved"):
        Tokenizer.load(path)
