"""Run: a report with what its folder still has: raw measurements, scores of the test items, what made it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgekd.bundle import making
from edgekd.bundle.making import Making
from edgekd.errors import BadInputError
from edgekd.report import reading
from edgekd.report.details import SCORES
from edgekd.report.model import Report

if TYPE_CHECKING:
    from edgekd.judge import Scores
    from edgekd.profile.measurement import Measurement

DAMAGED = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError)


@dataclass(frozen=True)
class Run:
    """One side of a comparison."""

    name: str  # as it was asked for
    report: Report
    folder: Path

    @cached_property
    def made(self) -> Making | None:
        """What made the run, if that is told: older runs don't."""
        path = self.folder / making.NAME
        if not path.is_file():
            return None
        try:
            return Making.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise _damaged(path) from error

    @cached_property
    def scores(self) -> Mapping[str, Scores]:
        """What each test item scored, by model; nothing where the run kept no scores."""
        import numpy as np

        path = self.folder / SCORES
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: np.asarray(file[name], np.float64) for name in file.files}
        except DAMAGED as error:
            raise _damaged(path) from error

    @cached_property
    def latencies(self) -> Mapping[str, Measurement]:
        """The timed runs of each artifact whose raw values are kept."""
        return {name: each for name in self._measured for each in self._measurements(name) if each.metric == "latency"}

    @property
    def _measured(self) -> list[str]:
        names = dict.fromkeys(row.artifact for row in self.report.measurements if row.n)
        return [name for name in names if (self.folder / f"measurements/{name}.npz").is_file()]

    def _measurements(self, artifact: str) -> tuple[Measurement, ...]:
        from edgekd.profile import saved

        path = self.folder / f"measurements/{artifact}.npz"
        try:
            if not zipfile.is_zipfile(path):  # which numpy would leave open
                raise _damaged(path)
            return saved.load(path)
        except DAMAGED as error:
            raise _damaged(path) from error


def read(place: Path) -> Run:
    """Read the run whose folder or report.json is ``place``.

    Raises:
        BadInputError: no report there, or one that a newer edgekd wrote.

    """
    return Run(str(place), reading.read(place), place if place.is_dir() else place.parent)


def _damaged(path: Path) -> BadInputError:
    return BadInputError(
        f"{path}: found a damaged file, expected what edgekd wrote", "build again, or compare the report.json alone"
    )
