"""The folder in which tables and decoded images are kept as memory-mapped files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path


class Cache:
    """A folder that was given, or one made when first asked for, which goes when this object does.

    Args:
        root: the folder to keep them in; it needn't exist. Every file in it can be made again.

    """

    def __init__(self, root: Path | None = None) -> None:
        self._given = root

    @cached_property
    def root(self) -> Path:
        """The folder, which exists."""
        if self._given is not None:
            self._given.mkdir(parents=True, exist_ok=True)
            return self._given
        made = Path(tempfile.mkdtemp(prefix="edgekd-tables-"))
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return made
