"""Write a bundle: the folder ``bundle`` and ``bundle.zip`` with the same files, a pure function of a run folder.

    edgekd build    stage 'golden' (edgekd/bundle/draft.py) -> RUN/made/golden.zip: what doesn't depend on a measurement
                    folder.write -> RUN/report.json, RUN/made/making.json
    edgekd bundle   read(RUN) (edgekd/bundle/inputs.py) -> BundleInputs -> parts -> files by place -> folder and zip

A part is a function ``(BundleInputs) -> Mapping[Place, bytes]`` in a module of ``edgekd/bundle/parts/``, and one line
in the dict PARTS there. It reads nothing but its argument and files that come with edgekd: no clock, no environment.
Parts may not write the same place. SHA256SUMS lists every other file but its own signature; in the zip, names stand
at the top level.

Metadata inside the model files are put in by ``edgekd/bundle/finishing.py``, in the build.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from edgekd.bundle import archive, checksums, making, provenance, signing
from edgekd.bundle.inputs import BundleInputs, read
from edgekd.bundle.making import Making
from edgekd.bundle.manifest import Place
from edgekd.bundle.parts import PARTS
from edgekd.errors import BadInputError, unwritable

FOLDER, ZIP = "bundle", "bundle.zip"
PLACE = TypeAdapter(Place)


def write(run: Path, target: Path, *, force: bool = False, key: Path | None = None) -> Path:
    """Bundle the run in the folder ``run``: write ``target``/bundle and ``target``/bundle.zip, and return the former.

    ``key`` is an ed25519 private key in PEM, by which the checksums are signed.

    Raises:
        BadInputError: no finished run; or another bundle is there already, and ``force`` isn't given.
        StageError: the disk is full.

    """
    files = signed(content(read(run)), key)
    packed = archive.packed(files)
    folder, zipped = target / FOLDER, target / ZIP
    _refuse_others(folder, zipped, files, packed, force=force)
    try:
        target.mkdir(parents=True, exist_ok=True)
        _put_folder(files, folder)
        _put_file(packed, zipped)
    except OSError as error:
        raise unwritable(target, error) from None
    return folder


def complete(made: Making, run: Path) -> None:
    """Add what made the build, and the bundle, to a run folder that has the rest."""
    (run / making.NAME).write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write(run, run)


def content(inputs: BundleInputs) -> dict[Place, bytes]:
    """Every file of the bundle but its checksums."""
    made: dict[Place, bytes] = {}
    for name, part in PARTS.items():
        for place, value in part(inputs).items():
            if place in made:
                raise ValueError(f"the part {name!r} writes {place}, which another part has written")
            made[PLACE.validate_python(place)] = value
    return {**made, provenance.NAME: provenance.provenance(inputs.making, made)}


def signed(files: Mapping[Place, bytes], key: Path | None) -> dict[Place, bytes]:
    """``files`` with their checksums, and with the checksums' signature if there is a key."""
    sums = checksums.text(files).encode()
    signature = {} if key is None else {checksums.SIGNATURE: signing.sign(sums, key)}
    return {**files, checksums.NAME: sums, **signature}


def _refuse_others(folder: Path, zipped: Path, files: Mapping[Place, bytes], packed: bytes, *, force: bool) -> None:
    """Refuse to overwrite a bundle that isn't this one; and a folder that is no bundle, even by force."""
    if os.path.lexists(folder) and not _is_bundle(folder):
        raise BadInputError(f"{folder}: found something there that is no bundle", "choose another folder with -o DIR")
    others = [path for path, same in ((folder, _holds(folder, files)), (zipped, _is(zipped, packed))) if not same]
    for path in others:
        if not force and os.path.lexists(path):
            raise BadInputError(
                f"{path}: found another bundle there, which is not overwritten",
                "choose another folder with -o DIR, or overwrite it with --force",
            )


def _is_bundle(folder: Path) -> bool:
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and (not any(folder.iterdir()) or (folder / checksums.NAME).is_file())
    )


def _holds(folder: Path, files: Mapping[Place, bytes]) -> bool:
    """Whether the folder holds these files and no others."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return there == files.keys() and all((folder / place).read_bytes() == value for place, value in files.items())


def _is(path: Path, value: bytes) -> bool:
    return path.is_file() and path.read_bytes() == value


def _put_folder(files: Mapping[Place, bytes], folder: Path) -> None:
    """Write beside ``folder``, then put it in place whole."""
    partial = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=folder.parent))
    old = partial.with_name(f"{partial.name}-old")
    try:
        partial.chmod(0o755)
        for place, value in files.items():
            (partial / place).parent.mkdir(parents=True, exist_ok=True)
            (partial / place).write_bytes(value)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise


def _put_file(value: bytes, path: Path) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{ZIP}-", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(value)
        partial.chmod(0o644)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
