"""The script that cuts WordNet reads glosses right, and its texts hold nothing of its galleries."""

from __future__ import annotations

import importlib.util
import lzma
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "edgekd" / "assets"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_wordnet_slice", ROOT / "scripts" / "make_wordnet_slice.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def unpacked(name: str) -> list[str]:
    return lzma.decompress((ASSETS / name).read_bytes()).decode().splitlines()


@pytest.mark.parametrize(
    ("gloss", "definition", "examples"),
    [
        ("a small fish", "a small fish", ()),
        (
            'weak; lacking force; "a weak tide"; "weak; very weak"',
            "weak; lacking force",
            ("a weak tide", "weak; very weak"),
        ),
        ('of low cunning; "his low cunning"- A.L.Guerard', "of low cunning", ("his low cunning",)),
        ('name the letters; "How?" "We spelled it"', "name the letters", ("How?", "We spelled it")),
        ('scattered ("straw" is archaic); "strewn"', 'scattered ("straw" is archaic)', ("strewn",)),
        ('having toes; often combined; "long-toed; "five-toed"', "having toes; often combined", ()),
        ('bare ; "" ; "a bare wall"', "bare", ("a bare wall",)),
    ],
)
def test_a_gloss_is_split(script: ModuleType, gloss: str, definition: str, examples: tuple[str, ...]) -> None:
    assert script.split_gloss(gloss) == (definition, examples)


def test_the_licence_at_the_top_of_a_file_is_no_synset(script: ModuleType) -> None:
    lines = ["  1 This software | is provided", '00001740 29 v 01 breathe 0 000 | draw air; "he breathed"  ']
    (found,) = script.parse(lines, "verb")
    assert found == script.Synset("verb:00001740", "draw air", ("he breathed",))


def synsets(script: ModuleType) -> list:
    made = [script.Synset(f"noun:{row}", f"thing {row}", (f"a thing {row}", f"thing  {row % 3}")) for row in range(20)]
    return [*made, script.Synset("noun:20", "no example", ()), script.Synset("noun:21", 'a "quoted" one', ("quoted",))]


def test_held_out_synsets_can_be_asked_for_and_leave_no_text_behind(script: ModuleType) -> None:
    every = synsets(script)
    held = script.hold_out(every, 15)
    texts = script.training_texts(every, held)
    assert len({synset.name for synset in held}) == 15
    assert all(synset.examples and '"' not in synset.definition for synset in held)
    assert not {script.plain(text) for synset in held for text in synset.texts} & {script.plain(text) for text in texts}
    assert {"no example", 'a "quoted" one', "quoted"} <= set(texts)
    assert len({script.plain(text) for text in texts}) == len(texts)


def test_the_order_of_the_synsets_decides_nothing(script: ModuleType) -> None:
    every = synsets(script)
    held, turned = script.hold_out(every, 15), script.hold_out(every[::-1], 15)
    assert held == turned
    assert script.training_texts(every, held) == script.training_texts(every[::-1], turned)


def test_two_synsets_with_one_definition_are_not_both_held_out(script: ModuleType) -> None:
    same = [script.Synset(f"noun:{row}", ("a fish", "A  fish")[row], (f"fish {row}",)) for row in range(2)]
    with pytest.raises(SystemExit, match="found 1 synsets"):
        script.hold_out(same, 2)


def test_the_vendored_slice_holds_what_its_script_promises(script: ModuleType) -> None:
    header, *rows = [line.split("\t") for line in unpacked("wordnet-pairs.tsv.xz")]
    texts = {script.plain(text) for text in unpacked("wordnet-texts.txt.xz")}
    asked = [script.plain(text) for query, document, _ in rows for text in (query, document)]
    assert header == ["query", "document", "gallery"]
    assert Counter(row[2] for row in rows) == dict.fromkeys("1234", 1000)
    assert len(set(asked)) == 8000
    assert not texts & set(asked)
    assert len(texts) == 154_996


def test_the_vendored_slice_stays_small_and_has_its_notice() -> None:
    assert sum((ASSETS / name).stat().st_size for name in ("wordnet-texts.txt.xz", "wordnet-pairs.tsv.xz")) < 3_000_000
    assert "Princeton University" in (ASSETS / "wordnet.LICENSE").read_text(encoding="utf-8")
