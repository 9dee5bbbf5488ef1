"""Keep a model's tokenizer as one file, with the number of tokens that texts are cut to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES: tuple[tuple[Kind, ...], ...] = ()
PRODUCES = Kind.TOKENIZER
LIBRARIES = ("tokenizers",)
READS_DATA = False


class Config(Frozen):
    """Whose tokenizer, and where texts are cut; the digest makes a change of its files a new artifact."""

    source: str
    sha256: str
    max_length: Annotated[int, Field(ge=1)] | None = None  # None: as long as the model takes


def run(_inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the tokenizer."""
    from edgekd.data.tokens import Tokenizer
    from edgekd.models import encoder_folder

    found = Tokenizer.from_folder(encoder_folder.find(config.source, weights=False), config.max_length)
    facts = {"max_length": found.max_length, "tokens": len(found.vocabulary)}
    summary = f"{facts['tokens']:,} tokens, texts cut at {found.max_length}"
    return Product(found.save(context.scratch / "tokenizer.json"), {**facts, "summary": summary})
