"""The samples that can't run here are at least programs: tree-sitter's grammars find no error in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_kotlin
import tree_sitter_swift

from edgekd.bundle.parts import samples

LANGUAGES = {".kt": tree_sitter_kotlin, ".swift": tree_sitter_swift}
SOURCES = [path for path in sorted(samples.ROOT.rglob("*")) if path.suffix in LANGUAGES]


def errors(source: bytes, suffix: str) -> list[str]:
    parser = tree_sitter.Parser(tree_sitter.Language(LANGUAGES[suffix].language()))
    found, waiting = [], [parser.parse(source).root_node]
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            found.append(f"line {node.start_point[0] + 1}: {source[node.start_byte : node.end_byte][:60]!r}")
        waiting += node.children
    return found


def test_there_is_a_sample_and_a_test_in_each() -> None:
    assert sorted(path.suffix for path in SOURCES) == [".kt", ".kt", ".swift", ".swift"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_parses(path: Path) -> None:
    source = path.read_bytes()
    assert errors(source, path.suffix) == []
    assert b"edgekd's own tests" in source[:600]  # says that it hasn't been run


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_bracket_less_is_an_error(path: Path) -> None:
    assert errors(path.read_bytes().rstrip().removesuffix(b"}"), path.suffix)
