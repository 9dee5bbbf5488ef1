"""What `mkdocs build` adds to docs/: a page for each stage, and parts that are made from the sources.

A line `<!-- made: NAME -->` in a page is replaced by that part, so that it can't go stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import error_index
import stage_pages
from mkdocs.structure.files import File, Files

from edgekd.pipeline import STEPS

ROOT = Path(__file__).parent.parent
ELSEWHERE = re.compile(
    r"\[([^\]]+)\]\(\.\./(?!losses)[^)]*\)"
)  # a link to a file outside docs/, which a site doesn't have


def adding() -> str:
    """CONTRIBUTING.md's sections on what can be added."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return "".join(re.findall(r"^## Adding.*?(?=^## )", text, re.MULTILINE | re.DOTALL))


MADE: dict[str, Callable[[], str]] = {"messages": error_index.markdown, "stages": stage_pages.table, "adding": adding}


def on_files(files: Files, config: Any) -> Files:
    """Add the stages' pages."""
    for name in STEPS:
        files.append(File.generated(config, f"stages/{name}.md", content=stage_pages.page(name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what is made, and name files that lie outside the site instead of linking them."""
    whole = re.sub(r"^<!-- made: (\w+) -->$", lambda found: MADE[found[1]](), markdown, flags=re.MULTILINE)
    return ELSEWHERE.sub(r"\1", whole)
