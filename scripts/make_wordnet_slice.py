"""Cut texts for distillation and galleries for retrieval out of WordNet 3.0 (WordNet licence).

    apt-get install wordnet-base
    python scripts/make_wordnet_slice.py

Writes three files:

- ``wordnet-pairs.tsv.xz``: ``query``, ``document``, ``gallery``. Four disjoint galleries of 1,000 synsets each. The
  query is the first example of a synset, the document is its definition without examples.
- ``wordnet-texts.txt.xz``: one text a line, each once: definitions and examples of all other synsets. A text that a
  synset of the galleries has too is left out, whatever its case and spacing.
- ``wordnet.LICENSE``: the notice that came with the package.

Galleries and texts stand in the order of SHA-256. So the files don't depend on a random generator's version, and the
first lines of the texts are as good a sample as any.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
GALLERIES, PAIRS_PER_GALLERY = 4, 1000
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


@dataclass(frozen=True, slots=True)
class Synset:
    """A set of synonyms, of which only what was written about it is kept."""

    name: str  # part of speech and offset in its file, as noun:00001740
    definition: str
    examples: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Definition and examples."""
        return (self.definition, *self.examples)


def clauses(gloss: str) -> list[str]:
    """Split a gloss at the semicolons outside quotation marks."""
    found = re.findall(r'(?:"[^"]*"|[^;"])+', gloss)
    return [clause.strip() for clause in found if clause.strip()]


def split_gloss(gloss: str) -> tuple[str, tuple[str, ...]]:
    """Definition and examples of a gloss; who is quoted is dropped.

    >>> split_gloss('not strong; lacking force; "a weak tide"; "weak; very weak"- Anon')
    ('not strong; lacking force', ('a weak tide', 'weak; very weak'))

    A gloss whose quotation marks don't match (20 of 117,659) keeps what stands before the first of them.
    """
    if gloss.count('"') % 2:
        return gloss.split('"', maxsplit=1)[0].strip(" ;"), ()
    parts = clauses(gloss)
    quoted = [example.strip() for part in parts if part.startswith('"') for example in re.findall(r'"([^"]*)"', part)]
    return "; ".join(part for part in parts if not part.startswith('"')), tuple(filter(None, quoted))


def parse(lines: Iterable[str], part_of_speech: str) -> Iterator[Synset]:
    """Read the lines of a data file: ``offset ... | gloss``. The licence at the top is indented."""
    for line in lines:
        if not line.startswith("  "):
            head, gloss = line.split(" | ", maxsplit=1)
            definition, examples = split_gloss(gloss.strip())
            yield Synset(f"{part_of_speech}:{head[:8]}", definition, examples)


def read_synsets(folder: Path) -> list[Synset]:
    return [
        synset
        for part in PARTS_OF_SPEECH
        for synset in parse((folder / f"data.{part}").read_text(encoding="ascii").splitlines(), part)
    ]


def by_hash(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())


def plain(text: str) -> str:
    """What two texts have in common that differ in case and spacing only."""
    return " ".join(text.casefold().split())


def hold_out(synsets: Iterable[Synset], count: int) -> list[Synset]:
    """The first ``count`` synsets, by hash of their names, that can be asked for: all queries and documents differ."""
    usable = {synset.name: synset for synset in synsets if synset.examples and '"' not in synset.definition}
    held: list[Synset] = []
    seen: set[str] = set()
    for name in by_hash(usable):
        pair = {plain(usable[name].examples[0]), plain(usable[name].definition)}
        if len(pair) == 2 and not pair & seen:
            held.append(usable[name])
            seen |= pair
        if len(held) == count:
            return held
    raise SystemExit(f"found {len(held)} synsets with an example, {count} are needed: is this WordNet 3.0?")


def training_texts(synsets: Iterable[Synset], held: Iterable[Synset]) -> list[str]:
    """Every text of the other synsets once, without those that a held-out synset has too."""
    held = list(held)
    seen = {plain(text) for synset in held for text in synset.texts}
    names = {synset.name for synset in held}
    kept: list[str] = []
    for text in by_hash({text for synset in synsets if synset.name not in names for text in synset.texts if text}):
        if plain(text) not in seen:
            seen.add(plain(text))
            kept.append(text)
    return kept


def pack(lines: Iterable[str]) -> bytes:
    text = "".join(f"{line}\n" for line in lines)
    return lzma.compress(text.encode(), format=lzma.FORMAT_XZ, filters=FILTERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--notice", type=Path, default=Path("/usr/share/doc/wordnet-base/copyright"))
    parser.add_argument("--out", type=Path, default=Path("edgekd/assets"))
    options = parser.parse_args()
    synsets = read_synsets(options.data)
    held = hold_out(synsets, GALLERIES * PAIRS_PER_GALLERY)
    texts = training_texts(synsets, held)
    pairs = [
        f"{synset.examples[0]}\t{synset.definition}\t{row // PAIRS_PER_GALLERY + 1}" for row, synset in enumerate(held)
    ]
    for name, lines in (
        ("wordnet-texts.txt.xz", texts),
        ("wordnet-pairs.tsv.xz", ["query\tdocument\tgallery", *pairs]),
    ):
        size = (options.out / name).write_bytes(pack(lines))
        print(f"{name}: {len(lines):,} lines, {size:,} bytes")
    (options.out / "wordnet.LICENSE").write_text(options.notice.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
