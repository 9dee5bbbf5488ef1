"""The end of scripts that fit a model that edgekd ships: the file is written, or with --check only compared."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path


def write_or_check(fit: Callable[[], object], file: Path, rows: Path, description: str) -> None:
    """Write what ``fit`` gives for ``rows`` to ``file`` as JSON, or end with what is wrong about the one there."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="fail if the shipped file is not what the rows give")
    given = parser.parse_args()
    text = json.dumps(fit(), indent=1) + "\n"
    if not given.check:
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file.name}")
    elif file.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{file} is not what {rows.name} gives: run scripts/{Path(sys.argv[0]).name}")
