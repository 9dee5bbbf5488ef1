r"""Class names as a text file, one a line, which is what MediaPipe and Android's parsers read.

A name can't have a line's end in it there. Where one has, or is empty, all names are escaped, so that none is lost and
none is split: a backslash as ``\\``, line ends as ``\n`` and ``\r``, and the empty name as ``\0``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

NAME = "labels.txt"
PLAIN = "class names, one a line, in the order of the logits"
ESCAPED = PLAIN + r"; escaped: \\ is a backslash, \n and \r are line ends, \0 is the empty name"
CODES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
SIGNS = {code: sign for sign, code in CODES.items()}


def written(labels: Sequence[str]) -> tuple[bytes, str]:
    """The file of ``labels``, and its description."""
    if all(labels) and not any(sign in label for label in labels for sign in "\n\r"):
        return _lines(labels), PLAIN
    return _lines([_escaped(label) for label in labels]), ESCAPED


def read(content: bytes, description: str) -> tuple[str, ...]:
    """The labels of such a file."""
    lines = content.decode("utf-8").split("\n")[:-1]
    return tuple(_plain(line) for line in lines) if description == ESCAPED else tuple(lines)


def _lines(labels: Sequence[str]) -> bytes:
    return "".join(f"{label}\n" for label in labels).encode()


def _escaped(label: str) -> str:
    return re.sub(r"[\\\n\r]", lambda found: CODES[found[0]], label) or "\\0"


def _plain(line: str) -> str:
    return "" if line == "\\0" else re.sub(r"\\[\\nr]", lambda found: SIGNS[found[0]], line)
