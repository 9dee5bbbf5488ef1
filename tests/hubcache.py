"""Models in a cache as huggingface_hub keeps them, so that a hub id can be tested without a network."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OFFLINE = {"HF_HUB_OFFLINE": "1"}


def keep(home: Path, name: str, folder: Path, *, weights: bool = True) -> dict[str, str]:
    """Put the files of ``folder`` into the cache below ``home`` as the model ``name``, on request without weights.

    Returns:
        The environment in which the libraries read that cache, and nothing else.

    """
    root = home / "hub" / f"models--{name.replace('/', '--')}"
    for part in ("blobs", "refs"):
        (root / part).mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(COMMIT)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files if weights else [path for path in files if path.suffix != ".safetensors"]:
        blob = root / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.write_bytes(path.read_bytes())
        link = root / "snapshots" / COMMIT / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return {**OFFLINE, "HF_HOME": str(home)}
