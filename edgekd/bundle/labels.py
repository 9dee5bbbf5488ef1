"""Labels as files: JSON, and one a line where no label has a line break of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgekd.bundle.manifest import Place

JSON, LINES = "labels.json", "labels.txt"


def files(labels: Sequence[str]) -> dict[Place, bytes]:
    r"""labels.json, and labels.txt if it can hold them: read by lines it must give the same labels.

    >>> list(files(["a, b", "🚗"])), list(files(["two\nlines"]))
    (['labels.json', 'labels.txt'], ['labels.json'])
    """
    if not labels:
        return {}
    text = json.dumps(list(labels), ensure_ascii=False, indent=0) + "\n"
    lines = "".join(f"{label}\n" for label in labels)
    plain = lines.splitlines() == list(labels) and all(label == label.strip() and label for label in labels)
    return {JSON: text.encode(), **({LINES: lines.encode()} if plain else {})}
