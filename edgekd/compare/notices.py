"""What changed for an app, and what its team has to do about each kind of change."""

from __future__ import annotations

from dataclasses import dataclass

ADVICE = {
    "task": "the models answer another question: treat B as a new model, and not as an update",
    "files": "a model file is gone: load another one, or ask for that format",
    "inputs": "feed the inputs by their new names, shapes and types, as B's manifest.json lists them",
    "outputs": "read the outputs by their new names, shapes and types, as B's manifest.json lists them",
    "ranges": "prepare inputs and read outputs with the new ranges: take them from B's manifest.json, not from code",
    "preprocessing": "prepare inputs as the preprocessing in B's manifest.json says",
    "tokenizer": "ship B's tokenizer files and settings together with its model: old ids mean other words to it",
    "labels": "ship B's labels.json together with its model, and look for code that names a class or its number",
    "thresholds": "decide with B's threshold",
    "vectors": "embed again all texts whose vectors were stored: vectors of two models can't be compared",
    "runtime": "update the runtime to at least the new version before the model",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A change that an app has to follow."""

    kind: str  # of ADVICE
    file: str  # the model file, '' where it is all of the bundle
    what: str
    first: str
    second: str
