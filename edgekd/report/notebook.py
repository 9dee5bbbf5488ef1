"""The report as a notebook shows it: the verdict, and the table of checks. Texts are escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from edgekd import units
from edgekd.report import terminal
from edgekd.report.advice import sentences
from edgekd.report.model import CheckRow, Report

HEAD = ("file", "limit", "found", "from", "verdict", "what to do")
COLOURS = {"pass": "#1a7f37", "fail": "#cf222e", "inconclusive": "#9a6700"}


def html(report: Report) -> str:
    """A fragment without scripts or styles of its own."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"<p><strong>{escape(terminal.headline(report))}</strong></p>"
    yield f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in HEAD)}</tr></thead><tbody>"
    for check in report.checks:
        cells = (check.artifact, check.limit, _found(check), check.provenance)
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        verdict = f'<td style="color: {COLOURS[check.verdict]}">{check.verdict}</td>'
        yield f"<tr>{row}{verdict}<td>{_to_do(check)}</td></tr>"
    yield "</tbody></table>"


def _found(check: CheckRow) -> str:
    if check.point is None:
        return "?"
    return units.show(check.point, check.unit) if check.unit else f"{check.point:.5g}"


def _to_do(check: CheckRow) -> str:
    return "<br>".join(escape(each) for each in (check.excess, *sentences(check)) if each)
