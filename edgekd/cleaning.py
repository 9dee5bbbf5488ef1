"""Free the store by age and size: never of what a report in the output folder needs, or what a build holds."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekd.bundle import making
from edgekd.errors import BadInputError, StageError
from edgekd.store import MANIFEST

LOCKS, PARTIAL, TABLES, SCRATCH = "locks", "partial", "tables", "scratch-"


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of the store that goes or stays as a whole."""

    path: Path
    key: str  # by whose lock it is held; '' for tables, which have none
    what: str
    size_bytes: int
    used_s: float  # when it was last made or changed, in seconds since 1970
    needed: bool


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What went (or would), and what stays though it was to go."""

    gone: tuple[Entry, ...]
    held: tuple[Entry, ...]
    kept_bytes: int


def entries(output: Path) -> tuple[Entry, ...]:
    """Everything in the store of ``output``, the oldest first.

    Raises:
        BadInputError: there is no store, or a run whose steps can't be told.

    """
    store = output / ".store"
    if not store.is_dir():
        raise BadInputError(f"{store}: found no store", "name the output folder of builds: -o DIR")
    needed = _needed(output)
    return tuple(sorted(_entries(store, needed), key=lambda each: (each.used_s, each.key)))


def choose(found: tuple[Entry, ...], before_s: float | None, most_bytes: int | None) -> tuple[Entry, ...]:
    """Those that are older than ``before_s``, then more of the oldest until at most ``most_bytes`` are left."""
    free = [each for each in found if not each.needed]
    chosen = [each for each in free if before_s is not None and each.used_s < before_s]
    left = sum(each.size_bytes for each in found) - sum(each.size_bytes for each in chosen)
    for each in free:
        if most_bytes is not None and left > most_bytes and each not in chosen:
            chosen.append(each)
            left -= each.size_bytes
    return tuple(chosen)


def clean(output: Path, found: tuple[Entry, ...], chosen: tuple[Entry, ...], *, dry_run: bool) -> Cleaned:
    """Remove ``chosen``; what another process has taken since stays.

    Raises:
        StageError: a build is running.

    """
    for lock in (output / ".store" / LOCKS).glob("*"):
        with _lock(output / ".store", lock.name) as free:
            if not free:  # what else it needs besides the step that it makes, nobody knows
                raise StageError(f"{output}: a build is running there: nothing was removed", "clean when it is done")
    gone: list[Entry] = []
    held: list[Entry] = []
    for each in chosen:
        with _lock(output / ".store", each.key) as free:
            (gone if free else held).append(each)
            if free and not dry_run:
                _remove(each.path)
    kept = sum(each.size_bytes for each in found) - sum(each.size_bytes for each in gone)
    return Cleaned(tuple(gone), tuple(held), kept)


def _needed(output: Path) -> set[str]:
    """The keys of all steps of the runs in ``output``."""
    keys: set[str] = set()
    for report in output.glob("*/*/*/report.json"):
        path = report.parent / making.NAME
        try:
            keys |= {step["key"] for step in json.loads(path.read_text(encoding="utf-8"))["steps"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(
                f"{path}: found nothing that tells which steps this run needs, so nothing can be removed safely",
                f"remove that run first ({report.parent}), if nobody needs it",
            ) from error
    return keys


def _entries(store: Path, needed: set[str]) -> Iterator[Entry]:
    for path in store.iterdir():
        if (path / MANIFEST).is_file():
            yield _entry(path, path.name, "artifact", needed=path.name in needed)
        elif path.name.startswith(SCRATCH):
            yield _entry(path, path.name.removeprefix(SCRATCH), "scratch", needed=False)
    for path in (store / PARTIAL).glob("*"):
        yield _entry(path, path.name, "checkpoints", needed=False)
    for path in (store / TABLES).glob("*"):
        yield _entry(path, "", "table", needed=False)


def _entry(path: Path, key: str, what: str, *, needed: bool) -> Entry:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    states = [each.lstat() for each in files]
    size = sum(each.st_size for each, file in zip(states, files, strict=True) if not file.is_dir())
    return Entry(path, key, what, size, max(each.st_mtime for each in states), needed)


@contextmanager
def _lock(store: Path, key: str) -> Iterator[bool]:
    """Hold the lock of ``key`` if nobody else does; a table has none: a mapped file outlives its name."""
    if not key:
        yield True
        return
    (store / LOCKS).mkdir(exist_ok=True)
    with (store / LOCKS / key).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _remove(path: Path) -> None:
    """Take it out of its place by one rename first, so that no half of it is ever found there."""
    gone = path.with_name(f".gone-{path.name}")
    os.replace(path, gone)
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
