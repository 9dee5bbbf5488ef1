"""Whether a bundle's parts fit each other: what the manifest names is there, and the golden vectors fit the models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydantic import TypeAdapter, ValidationError

from edgekd.bundle.golden import TYPES, Expected, GoldenIndex, Stored
from edgekd.bundle.manifest import Manifest, Model, Tensor
from edgekd.errors import BadInputError

Files = Mapping[str, bytes]
LABELS = TypeAdapter(tuple[str, ...])


def index(files: Files, manifest: Manifest) -> GoldenIndex:
    """The index of the golden vectors.

    Raises:
        BadInputError: it is missing, or not of its types.

    """
    place = manifest.golden.index
    if place not in files:
        raise BadInputError(f"{place}: the manifest names it, and it is not there")
    try:
        return GoldenIndex.model_validate_json(files[place])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInputError(f"{place}: {where}: {first['msg']}") from error


def labels(content: bytes, place: str) -> tuple[str, ...]:
    """The class names in ``content``, the file at ``place``.

    Raises:
        BadInputError: no JSON, or something else than a list of texts.

    """
    try:
        return LABELS.validate_json(content, strict=True)
    except ValidationError as error:
        raise BadInputError(f"{place}: found no list of texts: {error.errors()[0]['msg']}") from error


def missing(files: Files, manifest: Manifest) -> tuple[str, ...]:
    """What the manifest names and the bundle does not have, or has in another form."""
    return tuple(_missing(files, manifest))


def _missing(files: Files, manifest: Manifest) -> Iterator[str]:
    for place in _places(manifest):
        if place not in files:
            yield f"{place}: the manifest names it, and it is not there"
    models = {each.file for each in manifest.models}
    by_model = {field: getattr(manifest.preprocessing, field, ()) for field in ("layouts", "pad_to", "in_graph")}
    for field, named in (by_model | {"temperatures": manifest.postprocessing.temperatures}).items():
        for name in sorted(set(named) - models):
            yield f"{field}: found the model {name!r}, expected one of {', '.join(sorted(models))}"
    listed = manifest.postprocessing.labels
    if listed is not None and listed in files:
        yield from _labels(files[listed], listed, manifest)


def _places(manifest: Manifest) -> Iterator[str]:
    named = [getattr(manifest.preprocessing, field, None) for field in ("tokenizer", "vocabulary")]
    named += [manifest.postprocessing.labels, *(each.file for each in manifest.licences)]
    yield from (place for place in named if place is not None)


def _labels(content: bytes, place: str, manifest: Manifest) -> Iterator[str]:
    try:
        count = len(labels(content, place))
    except BadInputError as error:
        yield error.message
        return
    for model in manifest.models:
        widths = {each.shape[-1] for each in model.outputs if each.role == "logits" and each.shape}
        if widths - {None, count}:
            yield f"{place}: found {count} labels, and {model.file} gives {max(w or 0 for w in widths)} numbers"


def misfits(files: Files, manifest: Manifest, golden: GoldenIndex) -> tuple[str, ...]:
    """Where the golden vectors don't fit the manifest or their files."""
    return tuple(_misfits(files, manifest, golden))


def _misfits(files: Files, manifest: Manifest, golden: GoldenIndex) -> Iterator[str]:
    if len(golden.items) != manifest.golden.count:
        yield f"found {len(golden.items)} vectors, and the manifest says {manifest.golden.count}"
    for number, item in enumerate(golden.items):
        if item.raw is not None and item.raw not in files:
            yield f"vector {number}: {item.raw} is not there"
        for model in manifest.models:
            if model.file not in item.models:
                yield f"vector {number}: there is none for {model.file}"
            else:
                yield from (f"vector {number}: {each}" for each in _expected(files, model, item.models[model.file]))


def _expected(files: Files, model: Model, expected: Expected) -> Iterator[str]:
    yield from _tensors(files, model.inputs, expected.inputs, f"{model.file}, input")
    yield from _tensors(files, model.outputs, expected.outputs, f"{model.file}, output")


def _tensors(files: Files, told: Sequence[Tensor], stored: Sequence[Stored], where: str) -> Iterator[str]:
    by_name = {each.name: each for each in stored}
    if set(by_name) != {each.name for each in told}:
        yield f"{where}s: found {', '.join(sorted(by_name))}, expected {', '.join(each.name for each in told)}"
        return
    for tensor in told:
        found = by_name[tensor.name]
        fits = len(found.shape) == len(tensor.shape)
        fits = fits and all(size in (None, have) for size, have in zip(tensor.shape, found.shape, strict=True))
        if not fits or found.dtype != tensor.dtype:
            yield (
                f"{where} {tensor.name!r}: found {found.dtype} {list(found.shape)}, "
                f"and the manifest says {tensor.dtype} {list(tensor.shape)}"
            )
        size = math.prod(found.shape) * np.dtype(TYPES[found.dtype]).itemsize
        if min(found.shape, default=1) < 1:
            yield f"{where} {tensor.name!r}: found the shape {list(found.shape)}, which holds nothing"
        elif len(files.get(found.file, b"")) != size:
            yield f"{where} {tensor.name!r}: {found.file} does not have the {size} bytes of its shape and type"
