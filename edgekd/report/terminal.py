"""The report on the terminal: what was reached, the checks, what to do, where the files are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd import units
from edgekd.report.model import CheckRow, QualityRow, Report

COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


def show(report: Report, run: Path, console: Console) -> None:
    """Print the report; the paths come last."""
    console.print(_quality(report))
    for row in report.differences:
        console.print(
            f"{row.first} - {row.second}: {row.difference * 100:+.2f} points "
            f"({row.lower * 100:+.2f} to {row.upper * 100:+.2f}, paired, {row.items:,} items)"
        )
    console.print(_checks(report))
    for line in advice(report):
        console.print(line, markup=False)
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    console.print(Text(headline(report), style=f"bold {COLOURS[report.verdict]}"))
    for name in ("model.onnx", "model.tflite", "report.json"):
        if (run / name).exists():
            console.print(str(run / name), soft_wrap=True, markup=False, highlight=False)


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    failed = sum(check.verdict == "fail" for check in report.checks)
    unclear = sum(check.verdict == "inconclusive" for check in report.checks)
    what = {
        "pass": f"every one of {len(report.checks)} checks is met",
        "fail": f"{failed} of {len(report.checks)} checks failed",
        "inconclusive": f"{unclear} of {len(report.checks)} checks can't be decided",
    }[report.verdict]
    return f"{report.verdict.upper()}: {report.pipeline} on {report.device}: {what} (exit code {report.exit_code})"


def advice(report: Report) -> Iterator[str]:
    """One line for each check that isn't met, the excess first."""
    for check in report.checks:
        if check.verdict != "pass":
            yield f"{check.verdict}: {check.artifact} {check.limit} ({check.origin}): {check.advice}"


def _quality(report: Report) -> Table:
    items = next(iter(report.quality.values())).items
    table = Table(title=f"{report.metric}, {items:,} test images of the {report.data}", title_justify="left", box=None)
    for name in ("model", "value", "95 % interval", "of teacher"):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    teacher = report.quality["teacher"].value
    for name, row in report.quality.items():
        table.add_row(name, f"{row.value:.2%}", _bounds(row), f"{row.value / teacher:.1%}" if teacher else "")
    return table


def _bounds(row: QualityRow) -> str:
    return f"{row.lower:.2%} to {row.upper:.2%}"


def _checks(report: Report) -> Table:
    table = Table(title=f"checks against the budget of {report.device}", title_justify="left", box=None)
    for name in ("artifact", "limit", "value", "interval", "provenance", "verdict"):
        table.add_column(name, justify="right" if name in ("value", "interval") else "left", overflow="fold")
    for check in report.checks:
        verdict = Text(check.verdict, style=COLOURS[check.verdict])
        table.add_row(
            check.artifact, check.limit, _amount(check.point, check), _interval(check), check.provenance, verdict
        )
    return table


def _interval(check: CheckRow) -> str:
    if check.lower == check.upper == check.point:
        return ""
    return f"{_amount(check.lower, check)} to {_amount(check.upper, check)}"


def _amount(value: float | None, check: CheckRow) -> str:
    if value is None:
        return "?"
    return units.show(value, check.unit) if check.unit else f"{value:.3g}"
