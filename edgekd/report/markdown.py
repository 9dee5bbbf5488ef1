"""The report as Markdown, for a pull request or the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgekd import units
from edgekd.report.advice import sentences
from edgekd.report.model import CheckRow, Report
from edgekd.report.terminal import headline

NAME = "report.md"
SIGNS = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "❔ inconclusive"}
SPECIAL = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_[]|~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " "}
)


def text(report: Report) -> str:
    """The verdict, the budget, what each model scored and what that costs, and how to get the same again."""
    parts = (_head, _checks, _advice, _quality, _efficiency, _tail)
    return "\n".join(line for part in parts for line in part(report)) + "\n"


def escaped(value: str) -> str:
    """``value`` as it stands: nothing in it is markup, an image or a new line.

    >>> escaped("a <script>")
    'a &lt;script&gt;'
    """
    return value.translate(SPECIAL)


def _head(report: Report) -> Iterator[str]:
    yield f"## {escaped(headline(report))}"
    yield ""


def _checks(report: Report) -> Iterator[str]:
    rows = [
        (check.artifact, check.limit, _observed(check), check.provenance, SIGNS[check.verdict])
        for check in sorted(report.checks, key=lambda check: check.verdict == "pass")  # what failed comes first
    ]
    yield from _table(("file", "limit", "observed", "evidence", "verdict"), rows)


def _observed(check: CheckRow) -> str:
    if check.point is None:
        return "?"
    shown = [_amount(value, check) for value in (check.point, check.lower, check.upper) if value is not None]
    return shown[0] if len(set(shown)) == 1 else f"{shown[0]} ({' to '.join(shown[1:])})"


def _amount(value: float, check: CheckRow) -> str:
    return units.show(value, check.unit) if check.unit else f"{value:.5g}"


def _advice(report: Report) -> Iterator[str]:
    for check in report.checks:
        if check.verdict != "pass":
            yield f"- **{check.verdict}** {escaped(f'{check.artifact}: {check.lead} ({check.origin})')}"
            yield from (f"  - {escaped(each)}" for each in sentences(check))
    yield ""


def _quality(report: Report) -> Iterator[str]:
    if not report.quality:
        return
    items = next(iter(report.quality.values())).items
    yield escaped(f"{report.metric} on {items:,} test {units.plural(report.item)} of the {report.data}, 95 % interval")
    yield ""
    rows = [(name, f"{row.value:.2%}", f"{row.lower:.2%} to {row.upper:.2%}") for name, row in report.quality.items()]
    yield from _table(("model", report.metric, "interval"), rows)


def _efficiency(report: Report) -> Iterator[str]:
    rows = [
        (row.model, row.metric, f"{row.value:.4g}", f"{row.lower:.4g} to {row.upper:.4g}", row.provenance)
        for row in report.efficiency
        if row.model.endswith("_int8")
    ]
    if rows:
        yield from _table(("model", "metric", "value", "interval", "weaker evidence"), rows)


def _tail(report: Report) -> Iterator[str]:
    if report.notes:
        yield "<details><summary>notes</summary>"
        yield ""
        yield from (f"- {escaped(note)}" for note in report.notes)
        yield ""
        yield "</details>"
        yield ""
    seconds = f"{report.seconds:,.0f} s"
    yield escaped(f"edgekd {report.edgekd_version}, pipeline {report.pipeline}, device {report.device}, {seconds}")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(escaped(name) for name in header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(escaped(cell) for cell in row)} |"
    yield ""
