"""A zip whose bytes depend on its files alone: names sorted, times and rights fixed, nothing compressed.

Compressed bytes differ between versions of zlib; models and tensors would shrink little anyway.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell
READABLE = 0o100644 << 16  # a plain file that all may read, in the upper half of the attributes
UNIX = 3


def packed(files: Mapping[str, bytes]) -> bytes:
    """``files`` by name as a zip.

    >>> packed({"b": b"2", "a": b"1"}) == packed({"a": b"1", "b": b"2"})
    True
    """
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = UNIX, READABLE
            file.writestr(entry, files[name])
    return target.getvalue()


def unpacked(path: Path) -> dict[str, bytes]:
    """The files in a zip that edgekd itself packed into its store or a run folder; never one from elsewhere.

    Raises:
        zipfile.BadZipFile: no zip, or a damaged one.

    """
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}
