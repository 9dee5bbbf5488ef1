"""What a model file says of itself in its metadata, held against the manifest.

A file without metadata says nothing that could be wrong; one that edgekd finished always has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields

from edgekd.bundle import contents, facts, onnx_metadata
from edgekd.bundle.facts import Facts
from edgekd.bundle.manifest import ImagePreprocessing, Manifest, Model
from edgekd.bundle.metadata_reader import Metadata, read_metadata
from edgekd.errors import BadInputError

Files = Mapping[str, bytes]
PLAIN = ("name", "description", "version", "author", "licence")
NEAR = 1e-6  # of a value: TFLite's metadata has 32 bits for each number


def differences(files: Files, model: Model, told: Manifest) -> tuple[str, ...]:
    """Where the metadata in ``model``'s file, one of ``files``, say something else than the manifest."""
    wanted = facts.of(told, model.file)
    try:
        return tuple(BY_FORMAT[model.format](files[model.file], wanted, files))
    except (BadInputError, KeyError) as error:
        return (f"its metadata: {error}",)


def _of_onnx(content: bytes, wanted: Facts, files: Files) -> Iterator[str]:
    said = onnx_metadata.read_metadata(content)
    if said is None:
        return
    found, labels = said
    for field in fields(Facts):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if one != other:
            yield f"its metadata: found {field.name} {_short(one)}, the manifest has {_short(other)}"
    yield from _labels(labels, wanted, files)


def _of_tflite(content: bytes, wanted: Facts, files: Files) -> Iterator[str]:
    found = read_metadata(content)
    if found is None:
        return
    for name in PLAIN:
        one, other = getattr(found, name), getattr(wanted, name)
        if one != other:
            yield f"its metadata: found {name} {_short(one)}, the manifest has {_short(other)}"
    if not found.inputs or not found.outputs:
        yield "its metadata: found no input or no output"
        return
    yield from _scaling(found, wanted)
    yield from _labels(found.outputs[0].labels, wanted, files)
    vocabulary = getattr(wanted.preprocessing, "vocabulary", None)
    if found.vocabulary is not None and found.files[found.vocabulary] != files.get(vocabulary or ""):
        yield f"its metadata: found another vocabulary than {vocabulary}"


def _scaling(found: Metadata, wanted: Facts) -> Iterator[str]:
    image = wanted.preprocessing
    if not isinstance(image, ImagePreprocessing):
        return
    for name, said, values in (("mean", found.inputs[0].mean, image.mean), ("scale", found.inputs[0].std, image.scale)):
        if not said or not _near(said, values):
            yield f"its metadata: found {name} {said}, the manifest has {values}"


def _near(said: tuple[float, ...], values: tuple[float, ...]) -> bool:
    """The metadata have one value where all channels have the same."""
    repeated = said * len(values) if len(said) == 1 else said
    return len(repeated) == len(values) and all(
        abs(one - other) <= NEAR * max(1.0, abs(other)) for one, other in zip(repeated, values, strict=True)
    )


def _labels(found: tuple[str, ...] | None, wanted: Facts, files: Files) -> Iterator[str]:
    place = wanted.postprocessing.labels
    known = None if place is None else contents.labels(files[place], place)
    if found != known:
        yield f"its metadata: found other labels ({len(found or ())}) than the manifest has ({place or 'none'})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


BY_FORMAT: Mapping[str, Callable[[bytes, Facts, Files], Iterator[str]]] = {"onnx": _of_onnx, "tflite": _of_tflite}
