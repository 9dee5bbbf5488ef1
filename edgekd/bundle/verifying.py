"""Verify a bundle: that it is as it was made, that its parts agree, and that its models give the golden answers here.

Cheap checks come first. Files that are not those that were summed or signed are never handed to a runtime.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekd.bundle import (
    archive,
    checksums,
    closeness,
    contents,
    file_facts,
    golden,
    manifest,
    running,
    said,
    signing,
    unpacking,
)
from edgekd.bundle.golden import GoldenIndex
from edgekd.bundle.manifest import Manifest, Model
from edgekd.bundle.running import Runtime
from edgekd.bundle.verification import Check, Verification
from edgekd.errors import BadInputError

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for besides the bundle itself.

    Attributes:
        key: a public key.
        runtimes: of certain versions, as 'NAME==VERSION'.
        cpu: an Arm core to emulate, as qemu calls it.

    """

    key: Path | None = None
    runtimes: tuple[str, ...] = ()
    cpu: str | None = None


def verify(path: Path, asked: Asked | None = None) -> Verification:
    """Check the bundle at ``path``, a folder or a zip.

    Raises:
        BadInputError: no bundle, a hostile or damaged zip, or a key that can't be read.
        StageError: a runtime that was asked for can't be downloaded.

    """
    asked = asked or Asked()
    wanted = [running.parse(text) for text in asked.runtimes]
    files = unpacking.read(path)
    absent = [name for name in (manifest.NAME, checksums.NAME) if name not in files]
    if absent:
        raise BadInputError(
            f"{path}: found no {' and no '.join(absent)}, expected a bundle",
            "name the folder 'bundle' of a run, or its bundle.zip",
        )
    return Verification(str(path), tuple(_checks(path, files, asked, wanted)))


def _checks(path: Path, files: Files, asked: Asked, wanted: Sequence[tuple[str, str]]) -> Iterator[Check]:
    sealed = list(intact(path, files, asked.key))
    yield from sealed
    if _failed(sealed):
        yield Check("the rest", "unchecked", "these are not the files that were summed, so nothing of them is run")
        return
    try:
        told = manifest.parse(files[manifest.NAME].decode("utf-8", "replace"), manifest.NAME)
        vectors = contents.index(files, told)
    except BadInputError as error:
        yield Check("manifest", "fail", error.message)
        return
    parts = [_of_manifest(files, told), _of_vectors(files, told, vectors)]
    yield from parts
    with _placed(path, files) as root:
        models = list(_models(root, files, told, vectors if not _failed(parts) else None, wanted))
        yield from models
        if asked.cpu is not None and not _failed((*parts, *models)):
            yield from _emulated(root, told, asked.cpu)


def intact(path: Path, files: Files, key: Path | None) -> Iterator[Check]:
    """Whether ``files``, read from ``path``, are those that were summed, and the sums those that were signed."""
    if not path.is_dir() and archive.packed(files) != path.read_bytes():
        yield Check("zip", "note", "not byte for byte as edgekd writes it: packed again, or changed between its files")
    wrong = checksums.differences(files)
    count = len(set(files) - set(checksums.APART))
    whole = f"{count} files are as {checksums.NAME} says, and there is no other"
    text = f"{len(wrong)} of {count} files differ" if wrong else whole
    yield Check("checksums", "fail" if wrong else "pass", text, wrong)
    yield from _signature(files, key)


def _signature(files: Files, key: Path | None) -> Iterator[Check]:
    signature = files.get(checksums.SIGNATURE)
    if key is None:
        if signature is not None:
            yield Check("signature", "unchecked", "there is one; --key PUBLIC.pem checks it")
    elif signature is None:
        yield Check("signature", "fail", f"found no {checksums.SIGNATURE}: the bundle is not signed")
    elif signing.check(files[checksums.NAME], signature, key):
        yield Check("signature", "pass", f"{checksums.NAME} is signed by the pair of {key.name}")
    else:
        yield Check("signature", "fail", f"{checksums.SIGNATURE} is not by the pair of {key.name}, or of other sums")


def _of_manifest(files: Files, told: Manifest) -> Check:
    wrong = contents.missing(files, told)
    text = f"{told.name} for {told.device}: {told.task}, built by edgekd {told.edgekd_version}, verdict {told.verdict}"
    return Check("manifest", "fail" if wrong else "pass", text, wrong)


def _of_vectors(files: Files, told: Manifest, vectors: GoldenIndex) -> Check:
    wrong = contents.misfits(files, told, vectors)
    text = f"{len(vectors.items)} real inputs with what each model gives for them, made on {vectors.made_on}"
    return Check("golden vectors", "fail" if wrong else "pass", text, wrong)


def _models(
    root: Path, files: Files, told: Manifest, vectors: GoldenIndex | None, wanted: Sequence[tuple[str, str]]
) -> Iterator[Check]:
    """Each model file against the manifest; then, of those that agree, the answers on each runtime."""
    sound = []
    for model in told.models:
        check = _of_file(root, files, told, model)
        yield check
        sound += [model] if check.state == "pass" else []
    if vectors is None or not sound:
        yield Check("golden answers", "unchecked", "nothing was run, since the parts don't agree with each other")
        return
    if not wanted:
        yield from _on_installed(root, sound, vectors)
    for name, version in wanted:
        fitting = [model for model in sound if name in running.RUNTIMES[model.format]]
        if not fitting:
            yield Check(f"{name} {version}", "unchecked", "the bundle has no file for it")
            continue
        with running.fetched(name, version) as runtime:
            yield from (_on(runtime, root, model, vectors) for model in fitting)


def _of_file(root: Path, files: Files, told: Manifest, model: Model) -> Check:
    wrong = list(file_facts.differences(model, root / model.file))
    wrong += said.differences(files, model, told)
    least = ", ".join(f"{each.runtime} {each.version}" for each in model.minimum)
    text = f"{model.size_bytes:,} bytes for {model.isa}; needs {least} or newer"
    text = "not as the manifest says, so it is not run" if wrong else text
    return Check(model.file, "fail" if wrong else "pass", text, tuple(wrong))


def _on_installed(root: Path, models: Sequence[Model], vectors: GoldenIndex) -> Iterator[Check]:
    here = running.installed()
    for model in models:
        names = running.RUNTIMES[model.format]
        runtimes = [each for each in here if each.name in names]
        if not runtimes:
            how = f"found no runtime for it here: pip install {names[0]}"
            yield Check(model.file, "unchecked", how)
        yield from (_on(runtime, root, model, vectors) for runtime in runtimes)


def _on(runtime: Runtime, root: Path, model: Model, vectors: GoldenIndex) -> Check:
    """The golden vectors of one model on one runtime."""
    name = f"{model.file} on {runtime.title}"
    within = closeness.tolerance(vectors.tolerances.get(model.file, ()))
    if within is None:
        return Check(name, "unchecked", "the bundle has no tolerance for this machine's instruction set")
    ran = running.run(runtime, root, model.file, vectors.items)
    if ran.missing:
        return Check(name, "unchecked", f"the runtime can't be started: {ran.error}")
    if ran.error:
        return Check(name, "fail", ran.error, ran=True)
    expected = [
        {each.name: golden.load(root, each) for each in item.models[model.file].outputs} for item in vectors.items
    ]
    close = closeness.closeness(model.outputs, expected, ran.outputs, within)
    text = f"{close.vectors} vectors, {close.max_abs:.4g} off at most ({within.max_abs:.4g} on {within.isa} is allowed)"
    text += "" if close.cosine is None else f", cosine {close.cosine:.6f} at least"
    return Check(name, "fail" if close.misses else "pass", text, close.misses, ran=True)


def _emulated(root: Path, told: Manifest, cpu: str) -> Iterator[Check]:
    """The golden vectors on an emulated Arm core."""
    from edgekd.targets import arm64, arm64_tools

    for found in arm64.compare(root, told, cpu, arm64_tools.ready()):
        close, allowed = found.found, f"{found.within.max_abs:.4g} is allowed"
        text = f"{close.vectors} vectors, {close.max_abs:.4g} off at most ({allowed}); numerics alone"
        name = f"{found.file} on {cpu}, emulated"
        yield Check(name, "fail" if close.misses else "pass", text, close.misses, ran=True)


def _failed(checks: Sequence[Check]) -> bool:
    return any(check.state == "fail" for check in checks)


@contextmanager
def _placed(path: Path, files: Files) -> Iterator[Path]:
    """The bundle as a folder; a zip's files, whose names were checked, go into one that is deleted again."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edgekd-bundle-") as folder:
        for name, content in files.items():
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield Path(folder)
