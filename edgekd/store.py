"""A content-addressed folder of artifacts that holds whole things only.

Each entry is a folder KEY with one file and ``manifest.json``. It is made in a scratch folder, flushed to disk
and put in place by one rename, so that a process killed at any moment leaves whole artifacts only. A failure is
never kept. A lock file per key makes a second build wait for the first and then use what that one made.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.errors import FULL, EdgekdError, StageError, unwritable

MANIFEST = "manifest.json"
FORMAT = 1
NOTHING_LEFT = 1 << 16  # bytes; torch and safetensors raise errors of their own where no more can be written


@dataclass(frozen=True, slots=True)
class Product:
    """What a stage hands back: a file in its scratch folder, and facts about it."""

    path: Path
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what a step makes; its digest is the artifact's key."""

    stage: str
    version: int
    config: str  # JSON
    inputs: tuple[str, ...]  # SHA-256 of each input file
    data: str  # digest of the data, or empty
    seed: int
    libraries: tuple[str, ...]  # 'name==version'

    @property
    def key(self) -> str:
        """Digest of every field."""
        fields = [self.stage, self.version, self.config, self.inputs, self.data, self.seed, self.libraries]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:32]


class Reading:
    """The folder of artifacts, to look into; it needn't exist."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of ``key`` if it is there and whole: its file's SHA-256 is checked."""
        listed = self.listed(key)
        try:
            return listed if listed and sha256(listed.path) == listed.sha256 else None
        except OSError:
            return None

    def listed(self, key: str) -> Artifact | None:
        """Return the artifact of ``key`` if it is there with the right size; its bytes are not read."""
        folder = self.root / key
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            path = folder / manifest["file"]
            size = path.stat().st_size
            if manifest["format"] != FORMAT or size != manifest["size_bytes"]:
                return None
            return Artifact(
                key=key,
                kind=Kind(manifest["kind"]),
                path=path,
                sha256=manifest["sha256"],
                size_bytes=size,
                made_by=manifest["made_by"],
                inputs=tuple(manifest["inputs"]),
                facts=manifest["facts"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Store(Reading):
    """The folder of artifacts, to look into and to add to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root):
                pass
        except OSError as error:
            if error.errno in FULL:
                raise self._full() from None
            raise unwritable(root, error, "choose another output folder with -o DIR") from None

    def make(self, recipe: Recipe, kind: Kind, work: Callable[[Path], Product]) -> Artifact:
        """Run ``work`` in a fresh scratch folder and keep what it made."""
        with self._locked(recipe.key):
            if (made_meanwhile := self.find(recipe.key)) is not None:
                return made_meanwhile
            scratch = self.root / f"scratch-{recipe.key}"
            shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed: we hold the lock
            try:
                scratch.mkdir()
                self._commit(scratch, recipe, kind, work(scratch))
            except EdgekdError:
                raise
            except Exception as error:
                if getattr(error, "errno", None) in FULL or shutil.disk_usage(self.root).free < NOTHING_LEFT:
                    raise self._full() from None
                raise
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(self.partial(recipe.key), ignore_errors=True)
        found = self.find(recipe.key)
        if found is None:
            raise StageError(f"{self.root / recipe.key}: found an artifact that changed while it was written")
        return found

    def partial(self, key: str) -> Path:
        """Where the step ``key`` keeps its checkpoints until it is done."""
        return self.root / "partial" / key

    def _full(self) -> StageError:
        return StageError(f"{self.root}: the disk is full", "free some space and build again; finished steps are kept")

    def _commit(self, scratch: Path, recipe: Recipe, kind: Kind, product: Product) -> None:
        whole = scratch / "whole"
        whole.mkdir()
        os.replace(product.path, whole / product.path.name)
        manifest = {
            "format": FORMAT,
            "kind": kind,
            "file": product.path.name,
            "sha256": sha256(whole / product.path.name),
            "size_bytes": (whole / product.path.name).stat().st_size,
            "made_by": f"{recipe.stage} {recipe.version}",
            "config": json.loads(recipe.config),
            "inputs": recipe.inputs,
            "libraries": recipe.libraries,
            "facts": dict(product.facts),
        }
        (whole / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        for path in (whole / product.path.name, whole / MANIFEST, whole):
            _flush(path)
        target = self.root / recipe.key
        shutil.rmtree(target, ignore_errors=True)  # a damaged one, or find() would have returned it
        os.replace(whole, target)
        _flush(self.root)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        locks = self.root / "locks"
        locks.mkdir(exist_ok=True)
        with (locks / key).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # freed by the kernel when the process ends, however it ends
            yield


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
