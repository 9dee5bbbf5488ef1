"""Confining: run a program with no more memory than a limit, so that "runs in 1 GB" can be shown.

By a control group where one can be made (version 1 or 2), which counts what the program really has in memory; else by
the kernel's limit on the address space, which counts what it has reserved: more, so passing it is the harder test.
Sources: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html; setrlimit(2), RLIMIT_AS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
JOIN = 'echo $$ > "$1" && shift && exec "$@"'  # the shell joins the group, then becomes the program
RESERVE = 'ulimit -v "$1" && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class Confinement:
    """A limit on memory: how it is enforced, and what a program must be started with."""

    how: str
    prefix: tuple[str, ...]
    group: Path | None = None

    def around(self, command: Sequence[str]) -> list[str]:
        """The command that runs ``command`` under the limit."""
        return [*self.prefix, *command]

    def exceeded(self) -> bool:
        """Whether the kernel ended a program for wanting more."""
        if self.group is None:
            return False
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                found = re.search(r"^oom_kill (\d+)$", (self.group / name).read_text(), re.MULTILINE)
                return found is not None and int(found[1]) > 0
        return False


@contextmanager
def confined(limit_bytes: int | None, groups: Path = GROUPS, own: Path = OWN) -> Iterator[Confinement]:
    """Give a limit for as long as the context lasts; without a limit, one that changes nothing."""
    if limit_bytes is None:
        yield Confinement("none", ())
        return
    group = _make_group(limit_bytes, groups, own)
    if group is None:
        yield Confinement("address space (setrlimit)", ("sh", "-c", RESERVE, "sh", str(limit_bytes // 1024)))
        return
    version = 2 if (group / "memory.max").exists() else 1
    try:
        joining = ("sh", "-c", JOIN, "sh", str(group / "cgroup.procs"))
        yield Confinement(f"control group, version {version}", joining, group)
    finally:
        with suppress(OSError):
            group.rmdir()


def _make_group(limit_bytes: int, groups: Path, own: Path) -> Path | None:
    """Make a control group with the limit, and without swap where that is counted; None where it can't be made."""
    for parent, limit, swap in _parents(groups, own):
        group = parent / f"edgekd-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(limit_bytes))
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        with suppress(OSError):  # not every kernel counts swap
            (group / swap).write_text("0" if limit == "memory.max" else str(limit_bytes))
        return group
    return None


def _parents(groups: Path, own: Path) -> Iterator[tuple[Path, str, str]]:
    """Where a group may be made: below our own, then at the root; the files of its limits."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    places = {controllers: path.lstrip("/") for _, controllers, path in (line.split(":", 2) for line in lines)}
    if "memory" in places:
        for place in dict.fromkeys((places["memory"], "")):
            yield groups / "memory" / place, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
    for place in dict.fromkeys((places.get("", ""), "")):
        with suppress(OSError):
            if "memory" in (groups / place / "cgroup.subtree_control").read_text().split():
                yield groups / place, "memory.max", "memory.swap.max"
