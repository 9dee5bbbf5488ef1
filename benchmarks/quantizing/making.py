"""Making: the INT8 files of one model and format, by edgekd and by every rival."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekd.profile.measurement import Interval
from edgekd.runtimes import for_file
from edgekd.runtimes.feeding import single_rows
from edgekd.stages import calibration
from edgekd.tasks.base import Arrays
from quantizing import environments, ours
from quantizing.environments import FailedError, Rival
from quantizing.subject import FORMATS, Subject, artifact

OURS = "edgekd"
BOUNDS = ("point", "lower", "upper")


@dataclass(frozen=True)
class Made:
    """A file, or why there is none."""

    tool: str
    setting: str
    form: str
    path: Path
    error: str = ""
    claim: Interval | None = None  # how much faster than float the tool says that it is


def by_us(subject: Subject, folder: Path) -> None:
    """Quantize to both formats by edgekd."""
    for form in FORMATS:
        began = time.monotonic()
        facts = ours.quantize(subject, form, folder / OURS / form)
        print(f"{subject.name} {form} edgekd: {facts['summary']} ({time.monotonic() - began:.0f} s)", flush=True)


def by_rivals(subject: Subject, folder: Path, environment_folder: Path) -> None:
    """Let every rival quantize to the formats that it writes; files that are there are taken."""
    for rival in environments.RIVALS:
        for setting in rival.settings:
            if not is_made(rival, setting, subject, folder):
                _make(rival, setting, subject, target(rival, setting, folder), environment_folder)


def all_made(form: str, folder: Path) -> list[Made]:
    """What there is of one format, edgekd's chosen file first; and what failed."""
    files = ours.candidates(form, folder / OURS / form)
    claim = Interval(**{key: ours.said(folder / OURS / form)["faster"][key] for key in BOUNDS}) if files else None
    found = [Made(OURS, name, form, path, claim=claim) for name, path in files.items()]
    for rival in environments.RIVALS:
        for setting in rival.settings if form == rival.form else ():
            path = target(rival, setting, folder)
            if path.is_file():
                found.append(Made(rival.name, setting, form, path))
            elif note(path).is_file():
                found.append(Made(rival.name, setting, form, path, note(path).read_text()))
    return found


def target(rival: Rival, setting: str, folder: Path) -> Path:
    """Where a rival's file lies."""
    return folder / rival.name / f"{setting}.{'npz' if rival.form == 'torch' else rival.form}"


def note(path: Path) -> Path:
    """Where it is written why there is no such file."""
    return path.with_suffix(".failed.txt")


def is_made(rival: Rival, setting: str, subject: Subject, folder: Path) -> bool:
    """Whether the file is there, and for torch the outputs of these very test rows."""
    path = target(rival, setting, folder)
    return path.is_file() and (rival.form != "torch" or _rows_file(subject, path.parent).is_file())


def _make(rival: Rival, setting: str, subject: Subject, path: Path, environment_folder: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    began = time.monotonic()
    try:
        if rival.form == "torch":
            given = (subject.weights, _test_rows(subject, path.parent))
        else:
            given = (subject.files[rival.form], _calibration(subject, rival.form, path.parent.parent))
        environments.run(rival, (*given, setting, path), environment_folder)
        said = "made"
        note(path).unlink(missing_ok=True)
    except FailedError as error:
        said = f"failed: {error}"
        note(path).write_text(str(error))
        path.unlink(missing_ok=True)
    print(f"{subject.name} {rival.name} {setting}: {said} ({time.monotonic() - began:.0f} s)", flush=True)


def _calibration(subject: Subject, form: str, folder: Path) -> Path:
    """The calibration rows as the rivals' scripts read them, in the terms of the float file."""
    path = folder / f"calibration-{form}.npz"
    if not path.is_file():
        runner = for_file(subject.files[form]).Runner(subject.files[form], 1)
        feed = runner.signature_feed if form == "tflite" else runner.feed
        rows = calibration.part(artifact(subject.calibration), "calibration")
        write_rows(path, [feed(row) for row in single_rows([rows])])
    return path


def _test_rows(subject: Subject, folder: Path) -> Path:
    """What is timed, and behind it the test rows: torch's outputs can't be had from a file here."""
    path = _rows_file(subject, folder)
    if not path.is_file():
        write_rows(path, [subject.timed, *single_rows(subject.rows())])
    return path


def _rows_file(subject: Subject, folder: Path) -> Path:
    return folder / f"rows-{subject.tested}.npz"


def write_rows(path: Path, rows: Sequence[Arrays]) -> None:
    """Write rows one by one, as rivals/given.py reads them."""
    arrays = {f"{number}/{name}": values for number, row in enumerate(rows) for name, values in row.items()}
    np.savez(path, allow_pickle=False, **arrays)
