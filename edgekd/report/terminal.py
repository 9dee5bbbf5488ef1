"""The report on the terminal: what was reached, the checks, what to do, where the files are. Fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from edgekd import units
from edgekd.report.advice import sentences
from edgekd.report.model import CheckRow, Report, ShiftRow

COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


def show(report: Report, run: Path, console: Console) -> None:
    """Print the report; the paths come last."""
    for line in (*_quality(report), *_proof(report), *_candidates(report), *_checks(report), *_advice(report)):
        console.print(line, soft_wrap=True)
    for note in report.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    console.print(_headline(report), soft_wrap=True)
    for name in ("model.onnx", "model.tflite", "bundle.zip", "report.json"):
        if (run / name).exists():
            console.print(Text(str(run / name)), soft_wrap=True)


def show_verdict(report: Report, console: Console) -> None:
    """Print the checks, what to do and the verdict."""
    for line in (*_checks(report), *_advice(report), _headline(report)):
        console.print(line, soft_wrap=True)


def _headline(report: Report) -> Text:
    return Text(headline(report), style=f"bold {COLOURS[report.verdict]}")


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    failed = sum(check.verdict == "fail" for check in report.checks)
    unclear = sum(check.verdict == "inconclusive" for check in report.checks)
    what = {
        "pass": f"all {len(report.checks)} checks are met",
        "fail": f"{failed} of {len(report.checks)} checks failed",
        "inconclusive": f"{unclear} of {len(report.checks)} checks can't be decided",
    }[report.verdict]
    return f"{report.verdict.upper()}: {report.pipeline} on {report.device}: {what} (exit code {report.exit_code})"


def _quality(report: Report) -> Iterator[Text]:
    items = next(iter(report.quality.values())).items
    scored = f"{items:,} test {units.plural(report.item)} of the {report.data}"
    yield Text(f"{report.metric} on {scored}, 95 % interval", style="bold")
    teacher = report.quality["teacher"].value if "teacher" in report.quality else 0.0
    for name, row in report.quality.items():
        share = f"{row.value / teacher:.1%} of the teacher's" if teacher and name != "teacher" else ""
        yield Text(f"  {name:<18} {row.value:7.2%}  ({row.lower:.2%}..{row.upper:.2%})  {share}".rstrip())
    for pair in report.differences:
        bounds = f"{pair.lower * 100:+.2f}..{pair.upper * 100:+.2f}"
        yield Text(f"  {pair.first} - {pair.second}: {pair.difference * 100:+.2f} points ({bounds}, paired)")
        if pair.ratio is not None:
            yield Text(f"    {pair.ratio:.1%} of the {pair.second}'s ({pair.ratio_lower:.1%}..{pair.ratio_upper:.1%})")


def _proof(report: Report) -> Iterator[Text]:
    """The other figures of teacher and shipped files, and the worst shift of each kind."""
    shown = [name for name in report.quality if name == "teacher" or name.endswith("_int8") or name == "tfidf"]
    names = list(dict.fromkeys(row.figure for row in report.figures))
    if names:
        yield Text("besides, on the same items", style="bold")
    for figure in names:
        values = {row.model: row.value for row in report.figures if row.figure == figure}
        listed = ", ".join(f"{name} {values[name]:.4g}" for name in shown if name in values)
        yield Text(f"  {figure}: {listed}")
    if report.shifts:
        items = report.shifts[0].items
        yield Text(f"under shift, on {items} {units.plural(report.item)}", style="bold")
    for kind in dict.fromkeys(row.kind for row in report.shifts):
        rows = [row for row in report.shifts if row.kind == kind]
        worst = rows[0].level if len({row.level for row in rows}) == 1 else _hardest(rows)
        at = {row.model: row.value for row in rows if row.level == worst}
        listed = ", ".join(f"{name} {value:.1%}" for name, value in at.items())
        yield Text(f"  {f'{kind} {worst:g}' if kind else 'as they are'}: {listed}")


def _hardest(rows: list[ShiftRow]) -> float:
    """The level at which the models together do worst."""
    levels = dict.fromkeys(row.level for row in rows)
    return min(levels, key=lambda level: sum(row.value for row in rows if row.level == level))


def _candidates(report: Report) -> Iterator[Text]:
    """What was tried to make INT8, the chosen ones marked."""
    yield Text("INT8 candidates, on training rows kept for choosing", style="bold")
    width = max((18, *(len(row.name) for row in report.candidates)))
    for artifact, rows in groupby(report.candidates, key=lambda row: row.artifact):
        yield Text(f"  {artifact}")
        for row in rows:
            mark, latency = "*" if row.chosen else " ", units.show(row.latency_s, "s")
            yield Text(f"  {mark} {row.name:<{width}} drop {row.drop:7.2%}  cosine {row.cosine:.5f}  {latency}")


def _checks(report: Report) -> Iterator[Text]:
    yield Text(f"checks against the budget of {report.device}", style="bold")
    for artifact, checks in groupby(report.checks, key=lambda check: check.artifact):
        yield Text(f"  {artifact}")
        for check in checks:
            yield _check(check)


def _check(check: CheckRow) -> Text:
    value = f"{_amount(check.point, check):>{max(36 - len(check.limit), 8)}} {_interval(check):<17}"
    line = Text(f"    {check.limit} {value} {check.provenance:<9} ")
    return line.append(check.verdict, style=COLOURS[check.verdict])


def _advice(report: Report) -> Iterator[Text]:
    """Each check that isn't met: the excess, where the limit is written, then a line for each thing to do."""
    for check in report.checks:
        if check.verdict != "pass":
            yield Text(f"{check.verdict}: {check.artifact}: {check.lead} ({check.origin})")
            yield from (Text(f"  {each}") for each in sentences(check))


def _interval(check: CheckRow) -> str:
    if check.lower == check.upper == check.point:
        return ""
    return f"{_amount(check.lower, check)}..{_amount(check.upper, check)}"


def _amount(value: float | None, check: CheckRow) -> str:
    if value is None:
        return "?"
    return units.show(value, check.unit) if check.unit else f"{value:.5g}"
