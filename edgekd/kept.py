"""Kept: what the folder of a finished run still has to judge and to advise by: scores, measurements, files, device."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydantic import ValidationError

from edgekd import device as devices
from edgekd.bundle import making
from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.judge import Scores
from edgekd.profile.measurement import Interval
from edgekd.report import details
from edgekd.report.model import Report
from edgekd.runtimes import for_file
from edgekd.runtimes.graph import Graph
from edgekd.targets import predicted
from edgekd.variants import File

EQUAL = 1e-6  # as a share: other processors round otherwise


def scores(run: Path) -> dict[str, Scores]:
    """What each test item scored, by model."""
    path = run / details.SCORES
    if not path.is_file():
        return {}
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return {name: np.asarray(file[name], np.float64) for name in file.files}


def measurements(run: Path, artifact: str) -> Path:
    """Where the raw values of a file are, if they are."""
    return run / "measurements" / f"{artifact}.npz"


def max_length(report: Report) -> int | None:
    """The most tokens of a text."""
    lengths = [each.facts.get("max_length") for each in report.artifacts if each.kind == "tokenizer"]
    return next(iter(lengths), None)


def graph(path: Path, report: Report) -> Graph:
    """What a model file of the run computes."""
    found: Graph = for_file(path).describe(path, max_length(report))
    return found


def files(run: Path, report: Report) -> Iterator[tuple[str, File]]:
    """The shipped files that are still there as they were, and that can be read here."""
    for row in report.artifacts:
        path = run / row.path
        if row.kind.endswith("_int8") and path.is_file() and _sha256(path) == row.sha256:
            try:
                yield row.kind, File(path, row.size_bytes, graph(path, report))
            except BadInputError:  # LiteRT isn't installed: nothing can be said of that file
                continue


def device(run: Path, report: Report, known: Mapping[str, File]) -> Device | None:
    """The device that the run was for, if what it predicted for its files is predicted of them today too.

    Its file is kept in the run's folder. What that one is like, its anchors and edgekd itself can have changed since.
    """
    try:
        source = making.Making.model_validate_json((run / making.NAME).read_bytes()).device
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / Path(source.name).name
            path.write_text(source.text, encoding="utf-8")
            found = devices.load(str(path))
        return found if predicted.can_predict(found) and as_predicted(found, report, known) else None
    except (OSError, ValidationError, BadInputError):
        return None


def as_predicted(found: Device, report: Report, known: Mapping[str, File]) -> bool:
    """Whether the files are predicted for ``found`` as the report has it."""
    told = {(each.artifact, each.metric): each.intervals for each in report.measurements if each.intervals}
    pairs = [
        (each.predicted, told[name, each.metric])
        for name, file in known.items()
        for each in predicted.predict(file.graph, found, name, file.size_bytes)
        if (name, each.metric) in told
    ]
    return bool(pairs) and all(_alike(now, then) for now, then in pairs)


def _alike(now: Mapping[str, Interval], then: Mapping[str, Mapping[str, float]]) -> bool:
    if now.keys() != then.keys():
        return False
    ends = ((getattr(now[name], end), value) for name, told in then.items() for end, value in told.items())
    return all(math.isclose(one, other, rel_tol=EQUAL) for one, other in ends)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
