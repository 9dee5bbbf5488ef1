"""What an app team must know when a bundle takes the place of another: what its code has to change for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekd import units
from edgekd.bundle import manifest, unpacking
from edgekd.bundle.manifest import Figure, Manifest, Model, Tensor
from edgekd.compare.notices import ADVICE, Notice
from edgekd.errors import EXIT_FAIL, EXIT_OK, BadInputError

FORMAT_VERSION = 1
Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle's manifest and files."""

    name: str
    told: Manifest
    files: Files

    def content(self, place: str | None) -> bytes:
        """The file that the manifest names; nothing where it names none."""
        if place is None:
            return b""
        if place not in self.files:
            raise BadInputError(
                f"{self.name}: {place}: the manifest names it, and it is not there", f"edgekd verify {self.name}"
            )
        return self.files[place]


@dataclass(frozen=True, slots=True)
class BundleComparison:
    """Two bundles beside each other."""

    bundles: tuple[Bundle, Bundle]
    notices: tuple[Notice, ...]
    figures: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 where an app that ran the first would be wrong with the second."""
        return EXIT_FAIL if self.notices else EXIT_OK

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        for letter, each in zip("AB", self.bundles, strict=True):
            told = each.told
            yield f"{letter}  {each.name} ({told.name} for {told.device}, edgekd {told.edgekd_version}, {told.verdict})"
        for notice in self.notices:
            place = f"{notice.file}: " if notice.file else ""
            yield f"changed: {place}{notice.what}: {notice.first} -> {notice.second}"
        yield from self.figures
        for kind in dict.fromkeys(notice.kind for notice in self.notices):
            yield f"to do: {ADVICE[kind]}"
        if not self.notices:
            yield "inputs, outputs, labels, tokenizer and ranges are the same: an app can take B in the place of A"

    def json(self) -> str:
        """What a program reads."""
        told = {
            "format_version": FORMAT_VERSION,
            "exit_code": self.exit_code,
            "bundles": [each.name for each in self.bundles],
            "changes": [{**asdict(each), "to_do": ADVICE[each.kind]} for each in self.notices],
            "figures": self.figures,
        }
        return json.dumps(told, indent=1)


def read(path: Path) -> Bundle:
    """Read a bundle: a folder or a zip.

    Raises:
        BadInputError: no bundle, a damaged one, or one with names or links that no bundle has.

    """
    files = unpacking.read(path)
    if manifest.NAME not in files:
        raise BadInputError(f"{path}: found no {manifest.NAME}, expected a bundle", "name a bundle's folder or zip")
    try:
        text = files[manifest.NAME].decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: {manifest.NAME}: found bytes that are no UTF-8: {error}") from error
    return Bundle(str(path), manifest.parse(text, f"{path}: {manifest.NAME}"), files)


def compare(first: Bundle, second: Bundle) -> BundleComparison:
    """What an app that ran ``first`` has to know of ``second``."""
    return BundleComparison((first, second), tuple(_notices(first, second)), tuple(_figures(first, second)))


def _notices(first: Bundle, second: Bundle) -> Iterator[Notice]:
    one, other = first.told, second.told
    if one.task != other.task:
        yield Notice("task", "", "task", one.task, other.task)
    models = {each.file: each for each in other.models}
    for model in one.models:
        if model.file not in models:
            yield Notice("files", model.file, "model file", "there", "gone")
        else:
            yield from _of_model(model, models[model.file])
    yield from _of_preprocessing(first, second)
    yield from _of_postprocessing(first, second)


def _of_model(one: Model, other: Model) -> Iterator[Notice]:
    yield from _of_tensors("inputs", one.file, one.inputs, other.inputs)
    yield from _of_tensors("outputs", one.file, one.outputs, other.outputs)
    vectors = any(tensor.role == "vector" for tensor in (*one.outputs, *other.outputs))
    if vectors and one.sha256 != other.sha256:
        yield Notice("vectors", one.file, "vectors", f"of the model {one.sha256[:12]}", f"of {other.sha256[:12]}")
    least = {each.runtime: each.version for each in one.minimum}
    for each in other.minimum:
        if each.runtime in least and _numbers(each.version) > _numbers(least[each.runtime]):
            yield Notice("runtime", one.file, f"least {each.runtime}", least[each.runtime], each.version)


def _of_tensors(kind: str, file: str, ones: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> Iterator[Notice]:
    if len(ones) != len(others):
        yield Notice(kind, file, kind, ", ".join(each.name for each in ones), ", ".join(each.name for each in others))
        return
    for one, other in zip(ones, others, strict=True):
        for field in ("name", "shape", "dtype", "role"):
            yield from _field(kind, file, f"{one.name}: {field}", getattr(one, field), getattr(other, field))
        for field in ("scale", "zero_point"):
            yield from _field("ranges", file, f"{one.name}: {field}", getattr(one, field), getattr(other, field))


def _of_preprocessing(first: Bundle, second: Bundle) -> Iterator[Notice]:
    one, other = first.told.preprocessing, second.told.preprocessing
    if one.kind != other.kind:
        yield Notice("preprocessing", "", "preprocessing", one.kind, other.kind)
        return
    kind = "tokenizer" if one.kind == "text" else "ranges"
    files = ("tokenizer", "vocabulary")
    for field in type(one).model_fields:
        if field not in files:
            yield from _field(kind, "", field, getattr(one, field), getattr(other, field))
    for field in files:
        places = [getattr(each, field, None) for each in (one, other)]
        contents = [each.content(place) for each, place in zip((first, second), places, strict=True)]
        if contents[0] != contents[1]:
            yield Notice("tokenizer", "", field, *(_sized(content) for content in contents))


def _of_postprocessing(first: Bundle, second: Bundle) -> Iterator[Notice]:
    one, other = first.told.postprocessing, second.told.postprocessing
    for field in ("kind", "normalised"):
        yield from _field("outputs", "", f"postprocessing: {field}", getattr(one, field), getattr(other, field))
    yield from _field("thresholds", "", "threshold", one.threshold, other.threshold)
    labels = [_labels(each) for each in (first, second)]
    if labels[0] != labels[1]:
        shown = [_changed_labels(mine, theirs) for mine, theirs in (labels, reversed(labels))]
        yield Notice("labels", "", "labels", *shown)


def _field(kind: str, file: str, what: str, one: object, other: object) -> Iterator[Notice]:
    if one != other:
        yield Notice(kind, file, what, _plain(one), _plain(other))


def _labels(bundle: Bundle) -> list[Any]:
    content = bundle.content(bundle.told.postprocessing.labels)
    if not content:
        return []
    try:
        found = json.loads(content)
    except ValueError as error:
        raise BadInputError(f"{bundle.name}: found labels that are no JSON", f"edgekd verify {bundle.name}") from error
    return found if isinstance(found, list) else [found]


def _changed_labels(mine: list[Any], theirs: list[Any]) -> str:
    """The labels that stand elsewhere in the other list, or not at all."""
    places = [place for place, label in enumerate(mine) if theirs[place : place + 1] != [label]]
    shown = ", ".join(f"{place} {mine[place]!a}" for place in places[:4])
    more = f" and {len(places) - 4} more" if len(places) > 4 else ""
    return f"{len(mine)} ({shown}{more})" if places else f"{len(mine)}"


def _figures(first: Bundle, second: Bundle) -> Iterator[str]:
    """Size and quality of both, for a person: the bundles don't say whether a difference is chance."""
    models = {each.file: each for each in second.told.models}
    for one in first.told.models:
        other = models.get(one.file)
        if other is not None:
            pairs = [f"size {units.show(one.size_bytes, 'B')} -> {units.show(other.size_bytes, 'B')}"]
            quality = [_quality(each) for each in (one, other)]
            if quality[0] is not None and quality[1] is not None:
                pairs.append(f"quality {quality[0]:.2%} -> {quality[1]:.2%}")
            yield f"{one.file}: {', '.join(pairs)}"


def _quality(model: Model) -> float | None:
    found: list[Figure] = [each for each in model.figures if each.metric == "quality"]
    return found[0].point if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _sized(content: bytes) -> str:
    import hashlib

    return f"{hashlib.sha256(content).hexdigest()[:12]} ({len(content):,} bytes)" if content else "none"


def _plain(value: object) -> str:
    """A value as a person writes it; ascii, since a bundle may hold what a terminal would act on."""
    if isinstance(value, tuple | list):
        return f"({', '.join(_plain(each) for each in value)})"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(each)}" for key, each in value.items()) or "none"
    return "any" if value is None else ascii(value) if isinstance(value, str) else str(value)
