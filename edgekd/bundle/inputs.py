"""BundleInputs: all that a bundle is made of, read from a run folder; a bundle is a pure function of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekd.bundle import archive, figures, making
from edgekd.bundle.making import Making
from edgekd.bundle.manifest import Manifest, Place
from edgekd.errors import BadInputError

HANDED = "made/golden.zip"  # what the stage 'golden' made, in the run folder
DRAFT = "draft.json"  # in it: the manifest without verdict and figures
REPORT = "report.json"
ALSO = ("report.html",)  # copied where the run has them


@dataclass(frozen=True, slots=True)
class BundleInputs:
    """What a part of the bundle may use.

    Attributes:
        manifest: as it will stand in manifest.json.
        files: by their place in the bundle, made in the build: models, golden vectors, labels, tokenizer, licences.
        report: report.json.
        making: what made the run: the pipeline's and the device's file, versions, digests, steps.
        run_files: report.json, report.html …: the run folder's own files, by name, as they are.

    """

    manifest: Manifest
    files: Mapping[Place, bytes]
    report: Mapping[str, Any]
    making: Making
    run_files: Mapping[str, bytes]


def read(run: Path) -> BundleInputs:
    """Read a run folder.

    Raises:
        BadInputError: a file is missing or damaged.

    """
    try:
        content = (run / REPORT).read_bytes()
        report = json.loads(content)
        files = archive.unpacked(run / HANDED)
        made = Making.model_validate_json((run / making.NAME).read_bytes())
        draft = Manifest.model_validate_json(files.pop(DRAFT))
        manifest = draft.model_copy(update=dict(_judged(draft, report)))
    except (OSError, zipfile.BadZipFile, ValidationError, ValueError, KeyError) as error:
        found = error.filename if isinstance(error, OSError) and error.filename else type(error).__name__
        raise BadInputError(
            f"{run}: found no finished run with all that a bundle is made of ({found})",
            f"name a run folder with {REPORT}, {HANDED} and {making.NAME}, as `edgekd build` writes it",
        ) from error
    also = {name: (run / name).read_bytes() for name in ALSO if (run / name).is_file()}
    return BundleInputs(manifest, files, report, made, {REPORT: content, **also})


def _judged(draft: Manifest, report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of the manifest that the report decides."""
    yield "verdict", report["verdict"]
    yield (
        "models",
        tuple(each.model_copy(update={"figures": figures.of_model(each, report)}) for each in draft.models),
    )
