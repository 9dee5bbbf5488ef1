r"""SHA256SUMS: the digest of every file of a bundle but itself and its signature, as `sha256sum -c` reads it.

>>> print(text({"b": b"", "a": b"1"}), end="")
6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b  a
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

NAME = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
APART = (NAME, SIGNATURE)
LEFT = ("__pycache__", "node_modules", "build")  # folders that running or importing a sample where it lies leaves there
LINE = re.compile(r"([0-9a-f]{64})  ([^\s\\]+)")


def text(files: Mapping[str, bytes]) -> str:
    """The lines for ``files``, sorted by name."""
    names = sorted(set(files) - set(APART))
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names)


def differences(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """What in ``files`` is not as their SHA256SUMS say; nothing where all is."""
    return tuple(_differences(files))


def _differences(files: Mapping[str, bytes]) -> Iterator[str]:
    told: dict[str, str] = {}
    content = files[NAME].decode("utf-8", "replace")
    if not content.endswith("\n"):
        yield f"{NAME}: the last line does not end"
    for number, line in enumerate(content.removesuffix("\n").split("\n"), 1):
        match = LINE.fullmatch(line)
        if not match or match[2] in told:
            yield f"{NAME}:{number}: found {ascii(line)[:100]}, expected a digest, two spaces and a name, each once"
        else:
            told[match[2]] = match[1]
    for name in sorted(set(told) | set(files) - set(APART)):
        if name not in files:
            yield f"{name}: it is missing"
        elif name not in told:
            left = bool(set(name.split("/")[:-1]) & set(LEFT))
            yield f"{name}: it is not in {NAME}{'; using a sample there left it: remove it' if left else ''}"
        elif hashlib.sha256(files[name]).hexdigest() != told[name]:
            yield f"{name}: its bytes are not those that were summed"
