from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError, StageError
from edgekd.store import Product, Reading, Recipe, Store

RECIPE = Recipe("distill", 1, '{"epochs": 3}', ("aa",), "data", 7, ("torch==2",))
# What another process does: begins to write, says so, and goes on when the file 'go' is there.
CHILD = """
import sys, time
from pathlib import Path
from edgekd.artifact import Kind
from edgekd.store import Product, Recipe, Store

folder = Path(sys.argv[1])

def work(scratch):
    path = scratch / "model.bin"
    path.write_bytes(b"half")
    with (folder / "ran").open("a") as file:
        file.write("x")
    print("working", flush=True)
    while not (folder / "go").exists():
        time.sleep(0.01)
    path.write_bytes(b"whole")
    return Product(path)

store = Store(folder / "store")
print("waiting", flush=True)
print(store.make(Recipe("distill", 1, '{"epochs": 3}', ("aa",), "data", 7, ("torch==2",)), Kind.TORCH, work).sha256)
"""


def writes(content: bytes = b"weights", name: str = "model.bin") -> Callable[[Path], Product]:
    def work(scratch: Path) -> Product:
        (scratch / name).write_bytes(content)
        return Product(scratch / name, {"epochs": 3})

    return work


def forbidden(_scratch: Path) -> Product:
    raise AssertionError("this was to be found in the store")


def make(store: Store, work: Callable[[Path], Product] | None = None) -> Artifact:
    return store.make(RECIPE, Kind.TORCH, work or writes())


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_what_was_made_is_found_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    made = make(Store(tmp_path))
    assert Store(tmp_path).find(RECIPE.key) == made
    assert make(Store(tmp_path), forbidden) == made
    assert made.path == tmp_path / RECIPE.key / "model.bin"
    assert made.path.read_bytes() == b"weights"
    assert (made.kind, made.size_bytes, made.made_by, made.inputs) == (Kind.TORCH, 7, "distill 1", ("aa",))
    assert made.facts == {"epochs": 3}
    manifest = json.loads((made.path.parent / "manifest.json").read_text())
    assert manifest["config"] == {"epochs": 3}
    assert manifest["libraries"] == ["torch==2"]


def test_everything_that_decides_the_result_is_in_the_key() -> None:
    other = {
        "stage": "prune",
        "version": 2,
        "config": "{}",
        "inputs": ("ab",),
        "data": "other",
        "seed": 8,
        "libraries": ("torch==3",),
    }
    fields = {name: getattr(RECIPE, name) for name in other}
    keys = {Recipe(**{**fields, name: value}).key for name, value in other.items()}
    assert len(keys | {RECIPE.key}) == 8


def test_looking_needs_no_folder_and_makes_none(tmp_path: Path) -> None:
    assert Reading(tmp_path / "none").find(RECIPE.key) is None
    assert not (tmp_path / "none").exists()


def damage_file(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"weightz")


def lose_file(folder: Path) -> None:
    (folder / "model.bin").unlink()


def cut_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text()[:40])


def empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def other_kind(folder: Path) -> None:
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text().replace('"torch"', '"torhc"'))


def other_format(folder: Path) -> None:
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text().replace('"format": 1', '"format": 0'))


@pytest.mark.parametrize("damage", [damage_file, lose_file, cut_manifest, empty_manifest, other_kind, other_format])
def test_a_damaged_artifact_is_a_miss_and_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = make(store)
    damage(made.path.parent)
    assert store.find(RECIPE.key) is None
    assert make(store) == made
    assert store.find(RECIPE.key) == made


def test_looking_at_a_size_alone_finds_a_file_that_was_cut_but_not_one_that_was_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = make(store)
    assert store.listed(RECIPE.key) == made
    made.path.write_bytes(bytes(made.size_bytes))
    assert (store.listed(RECIPE.key), store.find(RECIPE.key)) == (made, None)
    made.path.write_bytes(b"")
    assert store.listed(RECIPE.key) is None


@pytest.mark.parametrize("error", [StageError("no"), RuntimeError("no"), KeyboardInterrupt()])
def test_a_failure_is_never_kept_and_leaves_nothing_behind(error: BaseException, tmp_path: Path) -> None:
    def fails(scratch: Path) -> Product:
        (scratch / "model.bin").write_bytes(b"half")
        raise error

    store = Store(tmp_path)
    with pytest.raises(type(error)):
        make(store, fails)
    assert store.find(RECIPE.key) is None
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]
    assert make(store).facts == {"epochs": 3}


def test_checkpoints_outlive_a_failure_and_go_when_the_step_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    partial = store.partial(RECIPE.key)

    def fails(_scratch: Path) -> Product:
        partial.mkdir(parents=True)
        (partial / "checkpoint.pt").touch()
        raise StageError("no")

    with pytest.raises(StageError):
        make(store, fails)
    assert (partial / "checkpoint.pt").exists()
    make(store)
    assert not partial.exists()


def test_a_process_killed_at_work_leaves_nothing_that_is_found(tmp_path: Path) -> None:
    with start(tmp_path) as child:
        assert [line(child), line(child)] == ["waiting", "working"]
        child.send_signal(signal.SIGKILL)
    store = Store(tmp_path / "store")
    assert store.find(RECIPE.key) is None
    made = make(store)
    assert made.path.read_bytes() == b"weights"
    assert not list((tmp_path / "store").glob("scratch-*"))


def test_two_processes_that_need_the_same_artifact_make_it_once(tmp_path: Path) -> None:
    with start(tmp_path) as first:
        assert [line(first), line(first)] == ["waiting", "working"]
        with start(tmp_path) as second:
            assert line(second) == "waiting"
            (tmp_path / "go").touch()
            results = {line(first), line(second)}
    assert (tmp_path / "ran").read_text() == "x"
    made = Reading(tmp_path / "store").find(RECIPE.key)
    assert made is not None
    assert results == {made.sha256}
    assert made.path.read_bytes() == b"whole"


def test_a_root_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError) as caught:
        Store(tmp_path / "file" / ".store")
    assert caught.value.message == (
        f"{tmp_path / 'file' / '.store'}: found a place that can't be written: Not a directory"
    )
    assert caught.value.hint == "choose another output folder with -o DIR"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_fails_the_step_and_keeps_nothing(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made up here, because not everyone may mount a small disk; tests/cli fills a real one where that is allowed."""

    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("edgekd.store.os.replace", full)
        with pytest.raises(StageError, match="the disk is full") as caught:
            make(store)
    assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]
    assert make(store).facts == {"epochs": 3}


def test_a_library_that_fails_for_want_of_space_in_its_own_words_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_scratch: Path) -> Product:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    store = Store(tmp_path)
    with pytest.raises(RuntimeError, match="PytorchStreamWriter"):
        make(store, fails)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("edgekd.store.shutil.disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(StageError, match="the disk is full"):
        make(store, fails)


def test_another_error_of_the_system_is_not_called_a_full_disk(tmp_path: Path) -> None:
    def fails(_scratch: Path) -> Product:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        make(Store(tmp_path), fails)
