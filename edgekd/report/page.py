"""report.html: one file that needs no network and runs no script, made from a report and what lies beside it.

The page is a template, its pictures are SVG by matplotlib. Everything from outside is escaped by jinja2, and a policy
in the page forbids scripts and requests, should that ever not be enough.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekd import units
from edgekd.errors import BadInputError, unwritable
from edgekd.report import details as detailing
from edgekd.report import pictures, tradeoff
from edgekd.report.advice import sentences
from edgekd.report.bars import bar
from edgekd.report.details import Details
from edgekd.report.model import CheckRow, MeasurementRow, Report
from edgekd.report.terminal import headline
from edgekd.tensor_names import readable

NAME = "report.html"
PERCENTS = (50, 90, 95, 99)
PLACES = {
    "on_device": "measured on the device",
    "on_host": "measured on this host",
    "emulated": "emulated",
    "predicted": "predicted",
    "none": "no evidence",
}


def write(report: Report, run: Path, target: Path | None = None, *, examples: bool = True) -> Path:
    """Write the page of the report in the folder ``run``, and return where it is."""
    path = target or run / NAME
    content = html(report, run, examples=examples)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error, "choose another one with -o FILE") from None
    return path


def html(report: Report, run: Path, *, examples: bool = True) -> str:
    """The whole page; what the run folder lacks is left out, or said to be missing. ``examples``: with test items."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgekd.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"show": units.show, "percent": _percent, "amount": _amount, "plural": units.plural}
    environment.filters["readable"] = readable
    details = detailing.read(run)
    view = View(report, details if examples else replace(details, examples=()), _latencies(run))
    return environment.get_template("report.html.j2").render(
        view=view, report=report, bar=bar, places=PLACES, sentences=sentences
    )


def _percent(value: float | None, digits: int = 1) -> str:
    return "?" if value is None else f"{value:.{digits}%}"


def _amount(value: float | None, dimension: str) -> str:
    """A value as it is printed; '?' where it isn't known."""
    if value is None:
        return "?"
    return units.show(value, dimension) if dimension in units.SCALES else f"{value:.5g}"


def _latencies(run: Path) -> dict[str, tuple[float, ...]]:
    """The raw latencies of the run folder, by artifact, as far as they are there."""
    from edgekd.profile import saved

    found: dict[str, tuple[float, ...]] = {}
    for path in sorted(run.glob("measurements/*.npz")):
        try:
            measurements = saved.load(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BadInputError(
                f"{path}: found no measurements: {error}", "remove the file, or restore it from the run"
            ) from error
        found |= {m.artifact: m.values for m in measurements if m.metric == "latency" and m.values}
    return found


@dataclass(frozen=True)
class View:
    """What the template asks for beyond the report's own fields."""

    report: Report
    details: Details
    raw: Mapping[str, tuple[float, ...]]

    @property
    def headline(self) -> str:
        """The verdict in one sentence, without the word itself, which has a colour of its own."""
        return headline(self.report).partition(": ")[2]

    @property
    def unmet(self) -> list[CheckRow]:
        """The checks that aren't met, failures first."""
        return [check for kind in ("fail", "inconclusive") for check in self.report.checks if check.verdict == kind]

    @property
    def checks(self) -> dict[str, list[CheckRow]]:
        """The checks of each file."""
        files = dict.fromkeys(check.artifact for check in self.report.checks)
        return {name: [check for check in self.report.checks if check.artifact == name] for name in files}

    @property
    def shipped(self) -> list[str]:
        """The INT8 files."""
        return [row.kind for row in self.report.artifacts if row.kind.endswith("_int8")]

    @property
    def chains(self) -> Mapping[str, tuple[tradeoff.Spot, ...]]:
        """Teacher to INT8, by format."""
        return tradeoff.chains(self.report)

    @property
    def latency_place(self) -> str:
        """Where the latencies of those come from."""
        return PLACES.get(tradeoff.provenance(self.report), "")

    def tradeoff(self) -> str:
        """The picture of quality and latency; '' where no format has both of at least one version."""
        chains = {form: [s for s in chain if s.quality and s.latency_s] for form, chain in self.chains.items()}
        some = {form: chain for form, chain in chains.items() if chain}
        return pictures.tradeoff(some, self.report.metric) if some else ""

    def sizes(self) -> str:
        """The picture of the files' sizes."""
        spots = [spot for chain in self.chains.values() for spot in chain if spot.size_bytes is not None]
        rows = [(spot.artifact, float(spot.size_bytes or 0), units.show(spot.size_bytes or 0, "B")) for spot in spots]
        return pictures.sizes(rows) if rows else ""

    def distributions(self) -> Iterator[tuple[str, str]]:
        """For each INT8 file with raw values: its name and the picture; the limit only where it is judged by them."""
        for name in self.shipped:
            row = self.measured(name, "latency")
            if name in self.raw and row is not None:
                marks = {f"p{each}": value for each in PERCENTS if (value := getattr(row, f"p{each}")) is not None}
                yield name, pictures.distribution(name, self.raw[name], marks, self._limit(name, row.provenance))

    def predictions(self) -> str:
        """The picture of the predicted percentiles; '' where nothing is predicted."""
        rows = [
            (f"{row.artifact} {name}", each["point"], each["lower"], each["upper"])
            for row in self.report.measurements
            if row.artifact in self.shipped and row.metric == "latency"
            for name, each in row.intervals.items()
        ]
        limits = [self._limit(name, "predicted") for name in self.shipped]
        return pictures.intervals(rows, next(iter(limits), None)) if rows else ""

    def _limit(self, artifact: str, provenance: str) -> float | None:
        """The tail latency that is allowed, where a check of ``artifact`` was judged on this evidence."""
        bounds = [
            check.bound
            for check in self.report.checks
            if (check.artifact, check.provenance) == (artifact, provenance) and check.metric.startswith("latency")
        ]
        return next((bound for bound in bounds if bound is not None), None)

    def measured(self, artifact: str, metric: str) -> MeasurementRow | None:
        """What was measured of one file."""
        wanted = [row for row in self.of(metric) if row.artifact == artifact and row.provenance != "predicted"]
        return wanted[0] if wanted else None

    def of(self, metric: str) -> list[MeasurementRow]:
        """Every row of one metric."""
        return [row for row in self.report.measurements if row.metric == metric]

    @property
    def courses(self) -> dict[str, Mapping[str, Any]]:
        """What each step that trained recorded of its epochs."""
        return {row.kind: row.facts for row in self.report.artifacts if row.facts.get("epoch_losses")}

    def curves(self) -> str:
        """The picture of them."""
        return pictures.curves(self.courses) if self.courses else ""

    def candidates(self) -> Iterator[tuple[str, str]]:
        """For each INT8 file: its name and the picture of what was tried."""
        for name in dict.fromkeys(row.artifact for row in self.report.candidates):
            rows = [row for row in self.report.candidates if row.artifact == name]
            yield name, pictures.candidates(name, rows)

    def memory(self) -> Iterator[tuple[str, str]]:
        """For each INT8 file whose memory was watched: its name and the picture."""
        for row in self.details.memory:
            if row.seconds:
                yield row.artifact, pictures.memory(row)

    @property
    def fell_back(self) -> dict[str, list[str]]:
        """Operators that a quantizer left in float, by file."""
        facts = {row.kind: row.facts.get("left_float") or () for row in self.report.artifacts}
        return {name: [str(each) for each in left] for name, left in facts.items() if left and name in self.shipped}

    @property
    def conditions(self) -> dict[str, Mapping[str, str]]:
        """Under what was measured and predicted: those of the first INT8 file of each provenance, each once."""
        found: dict[str, Mapping[str, str]] = {}
        for row in sorted(self.of("latency"), key=lambda row: row.artifact not in self.shipped):
            if row.conditions:
                found.setdefault(f"{row.artifact}, {PLACES.get(row.provenance, row.provenance)}", row.conditions)
        shown: dict[str, str] = {}
        for name in found:
            shown.setdefault(name.rpartition(", ")[2], name)
        return {name: found[name] for name in shown.values()}
