"""The user's cache: what is kept beyond one project and one session."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(*names: str) -> Path:
    """A folder below $XDG_CACHE_HOME/edgekd, by default ~/.cache/edgekd; it need not be there.

    Source: XDG Base Directory Specification, where a relative path counts as none.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (root if root.is_absolute() else Path.home() / ".cache").joinpath("edgekd", *names)
