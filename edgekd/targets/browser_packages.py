"""The runtimes as a browser runs them: where the npm packages onnxruntime-web and LiteRT.js lie, and fetching them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgekd.device import Device
from edgekd.errors import BadInputError, StageError
from edgekd.targets.browser_server import PAGE
from edgekd.user_cache import user_cache

LISTS = ("package.json", "package-lock.json")


@dataclass(frozen=True, slots=True)
class Engine:
    """A runtime of ours as a browser has it."""

    package: str
    script: str  # of the page
    dtypes: frozenset[str]  # of inputs and outputs


ENGINES = {
    "onnxruntime": Engine(
        "onnxruntime-web",
        "/onnxruntime.mjs",
        frozenset(
            {"float32", "float64", "float16", "bool", "int8", "uint8", "int16", "uint16"}
            | {"int32", "uint32", "int64", "uint64"}
        ),
    ),
    "tflite": Engine("@litertjs/core", "/litert.mjs", frozenset({"float32", "int32", "uint8"})),
}


def folder_of(device: Device) -> Path:
    """The node_modules folder that [reach] names, else the one that ``set_up`` made.

    Raises:
        BadInputError: there is none, or a package is missing in it.

    """
    named = device.reach.packages if device.reach is not None else None
    folder = kept() if named is None else Path(named)
    folder = folder if folder.is_absolute() else device.path.parent / folder
    for engine in ENGINES.values():
        if not (folder / engine.package / "package.json").is_file():
            where = "" if named is None else " of [reach]"
            raise BadInputError(
                f"{device.path}: found no {engine.package} in {folder}{where}, which runs models in a browser",
                f"fetch it once: edgekd devices setup {device.name}; or npm install {_wanted()}, and "
                "packages = 'FOLDER/node_modules' in [reach]",
            )
    return folder


def version(folder: Path, package: str) -> str:
    """The version of a package there."""
    found: str = json.loads((folder / package / "package.json").read_text(encoding="utf-8"))["version"]
    return found


def kept() -> Path:
    """Where ``set_up`` puts them: below $XDG_CACHE_HOME/edgekd, by default ~/.cache/edgekd; a folder for each list."""
    digest = hashlib.sha256((PAGE / "package-lock.json").read_bytes()).hexdigest()[:12]
    return user_cache("browser", digest, "node_modules")


def set_up() -> Path:
    """Fetch the packages by npm in the versions that edgekd was tested with, whole or not at all.

    Raises:
        StageError: there is no npm, or it can't fetch them.

    """
    target = kept()
    if target.is_dir():
        return target
    if shutil.which("npm") is None:
        raise StageError("found no npm, which fetches what a browser runs models with", "apt-get install npm")
    target.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent.parent) as partial:
        for name in LISTS:
            shutil.copy(PAGE / name, partial)
        command = ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=partial, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[:400]
            raise StageError(f"npm can't fetch {_wanted()}: {said}", "this needs a network once, about 180 MB")
        target.parent.mkdir(exist_ok=True)
        try:
            (Path(partial) / "node_modules").rename(target)
        except OSError:
            if not target.is_dir():  # else another process has fetched the same meanwhile
                raise
    return target


def _wanted() -> str:
    asked = json.loads((PAGE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return " ".join(f"{name}@{version}" for name, version in asked.items())
