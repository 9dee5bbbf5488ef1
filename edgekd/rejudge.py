"""Rejudge: hold a finished run's saved evidence against limits again; nothing is run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from edgekd import kept, remedies
from edgekd.device import Device
from edgekd.findings import exit_code
from edgekd.judge import Evidence, Scores, Verdict, judge, undecided, worst
from edgekd.limits import METRICS, Limit, merge
from edgekd.profile import saved
from edgekd.profile.measurement import Interval, Measurement, Provenance
from edgekd.remedies import IMAGE, Known
from edgekd.report import details
from edgekd.report.model import ArtifactRow, CheckRow, MeasurementRow, Report
from edgekd.rows import check_row
from edgekd.targets import predicted
from edgekd.variants import File

RULE = re.compile(r" (<=|>=|<|>) .*?(?: of (\w+))?\Z")


@dataclass(frozen=True)
class Rejudging:
    """A report with the folder beside it, the device that is asked about, and limits to add.

    Without a ``device`` the run's own limits hold; with one, those of its file take the place of the old device's.
    """

    report: Report
    run: Path
    device: Device | None = None
    added: tuple[Limit, ...] = ()

    def judged(self, *, allow_inconclusive: bool) -> Report:
        """The report with its checks, verdict and exit code made anew."""
        found = list(self._checks())
        files = dict.fromkeys(check.artifact for check in found)
        checks = tuple(check for name in files for check in found if check.artifact == name)
        checks = tuple(self._advised(check, checks) for check in checks)
        verdict = worst(check.verdict for check in checks)
        name = self.report.device if self.device is None else self.device.name
        code = exit_code(verdict, allow_inconclusive=allow_inconclusive)
        return replace(self.report, device=name, checks=checks, verdict=str(verdict), exit_code=code)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What is to be held."""
        rows = [row for row in self.report.checks if row.metric in METRICS and row.bound is not None]
        if self.device is None:
            return merge(tuple(_limit(row) for row in rows), self.added)
        own = [row for row in rows if row.origin == "--limit" or _file(row.origin) == self.report.pipeline]
        return merge(merge(self.device.limits, tuple(_limit(row) for row in own)), self.added)

    def _advised(self, check: CheckRow, checks: tuple[CheckRow, ...]) -> CheckRow:
        """With what to try where it failed; a check that is the run's own has that already."""
        if check.verdict != Verdict.FAIL or check.tries:
            return check
        return replace(check, tries=remedies.rows(check, checks, self._known))

    @cached_property
    def _known(self) -> Known:
        """What remedies are told from: as much as is still there."""
        files = dict(kept.files(self.run, self.report))
        measured = self.report.artifacts if self._on_host else ()
        return Known(
            limits=self.limits,
            judged=self._provenances,
            on_host=self._on_host,
            device=self._predicting(files),
            has_student=any(step.name == "student_start" for step in self.report.steps),
            scores=kept.scores(self.run),
            measured={row.kind: tuple(self._measurements(row)) for row in measured if row.kind.endswith("_float")},
            files=files,
            max_length=kept.max_length(self.report) or 0,
            of_images=self.report.item == IMAGE,
        )

    def _predicting(self, files: Mapping[str, File]) -> Device | None:
        """The device for which files are predicted; the run's own only if it is the one that was predicted for."""
        if self.device is None:
            return kept.device(self.run, self.report, files)
        if not predicted.can_predict(self.device):
            return None
        another = self.device.name != self.report.device
        return self.device if another or kept.as_predicted(self.device, self.report, files) else None

    def _checks(self) -> Iterator[CheckRow]:
        """The limits anew; parity and what INT8 loses don't depend on a budget, and stay as they are."""
        for row in self.report.artifacts:
            if row.kind.endswith("_int8"):
                yield from self._of(row)
        for check in self.report.checks:
            if check.metric not in METRICS and self._still_holds(check):
                yield check

    def _still_holds(self, check: CheckRow) -> bool:
        """Whether a check that is no limit says something about this device too."""
        other = self.device is not None and self.device.name != self.report.device
        return {"speed_up": self._on_host, "accelerator": not other}.get(check.metric, True)

    def _of(self, row: ArtifactRow) -> Iterator[CheckRow]:
        scores = kept.scores(self.run)
        evidence = Evidence(row.kind, tuple(self._measurements(row)), scores.get(row.kind, np.zeros(0)), scores)
        for limit in self.limits:
            earlier = self._earlier(row.kind, limit)
            if earlier is not None and not self._raw(row.kind, limit, scores):
                yield earlier
            elif limit.metric == "quality" and row.kind not in scores:
                yield check_row(undecided(limit, row.kind, f"{details.SCORES} isn't beside the report"))
            else:
                yield from map(check_row, judge((limit,), evidence, self._provenances))

    def _raw(self, artifact: str, limit: Limit, scores: dict[str, Scores]) -> bool:
        """Whether what the limit is judged by lies beside the report."""
        return artifact in scores if limit.metric == "quality" else kept.measurements(self.run, artifact).is_file()

    def _earlier(self, artifact: str, limit: Limit) -> CheckRow | None:
        """The run's own check, where nothing about it has changed."""
        if self.device is not None and self.device.name != self.report.device:
            return None
        same = (row for row in self.report.checks if (row.artifact, row.limit) == (artifact, limit.text))
        return next((row for row in same if row.bound == limit.value), None)

    @property
    def _on_host(self) -> bool:
        return self.report.device == "host" if self.device is None else self.device.is_host

    @property
    def _provenances(self) -> frozenset[Provenance]:
        if self._on_host:
            return frozenset({Provenance.ON_HOST})
        only = "--require on_device" in details.read(self.run).command
        return frozenset({Provenance.ON_DEVICE} if only else {Provenance.ON_DEVICE, Provenance.PREDICTED})

    def _measurements(self, row: ArtifactRow) -> Iterator[Measurement]:
        """What was measured; what was measured on another device doesn't count; predictions are made for the device."""
        another = self.device is not None and self.device.name != self.report.device
        rows = [each for each in self.report.measurements if each.artifact == row.kind]
        path = kept.measurements(self.run, row.kind)
        measured = saved.load(path) if path.is_file() else tuple(map(_single, rows))
        yield from (each for each in measured if not (another and each.provenance is Provenance.ON_DEVICE))
        if another:
            yield from self._predicted(row)
        else:
            yield from (_again(each) for each in rows if each.intervals)

    def _predicted(self, row: ArtifactRow) -> tuple[Measurement, ...]:
        path = self.run / row.path
        if self.device is None or self.device.is_host or not predicted.can_predict(self.device):
            return ()
        if not path.is_file():
            reason = f"{row.path} isn't beside the report: nothing can be predicted for {self.device.name}"
            return tuple(_absent(row.kind, metric, reason) for metric in ("latency", "peak_memory", "energy"))
        return predicted.predict(kept.graph(path, self.report), self.device, row.kind, row.size_bytes)


def _limit(row: CheckRow) -> Limit:
    rule = RULE.search(row.limit)
    operator, relative_to = rule.groups() if rule else ("<=", None)
    return Limit(row.metric, operator, row.bound or 0.0, relative_to, row.origin)


def _file(origin: str) -> str:
    """The name of the file that a limit stands in: 'default' for 'pipelines/default.toml:12'."""
    return Path(origin.rpartition(":")[0]).stem


def _single(row: MeasurementRow) -> Measurement:
    """A row as a measurement: of a series only the figures are left, of a single value the value itself."""
    values = (row.p50,) if row.n == 1 and row.p50 is not None else ()
    reason = row.unavailable or ("" if values else f"measurements/{row.artifact}.npz isn't beside the report")
    provenance = Provenance(row.provenance)
    return replace(_absent(row.artifact, row.metric, reason), unit=row.unit, provenance=provenance, values=values)


def _again(row: MeasurementRow) -> Measurement:
    intervals = {name: Interval(**bounds) for name, bounds in row.intervals.items()}
    return replace(_absent(row.artifact, row.metric, ""), unit=row.unit, predicted=intervals)


def _absent(artifact: str, metric: str, reason: str) -> Measurement:
    provenance = Provenance.PREDICTED
    return Measurement(artifact=artifact, metric=metric, unit="", provenance=provenance, unavailable=reason)
