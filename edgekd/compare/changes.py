"""What differs between two runs besides their figures: pipeline, device, data, versions, budgets, verdicts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from edgekd.bundle.making import Making, Source
from edgekd.compare.conditions import VERSIONS
from edgekd.compare.runs import Run
from edgekd.report.model import CheckRow


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that isn't the same in both runs; ``lines`` has the parts, if there are any."""

    what: str
    first: str
    second: str
    lines: tuple[str, ...] = ()


def differences(first: Run, second: Run) -> Iterator[Difference]:
    """Everything that differs, and what can't be told."""
    one, other = first.report, second.report
    for what in ("pipeline", "device", "data", "metric", "edgekd_version"):
        if getattr(one, what) != getattr(other, what):
            yield Difference(what.replace("_", " "), getattr(one, what), getattr(other, what))
    if first.made is None or second.made is None:
        told = ["told" if each.made else "not told" for each in (first, second)]
        yield Difference("what made the runs", told[0], told[1])
    else:
        yield from _making(first.made, second.made)
    yield from _versions(first, second)


def _making(one: Making, other: Making) -> Iterator[Difference]:
    """The files that asked for the runs, and what those took from outside."""
    yield from _file("pipeline file", one.pipeline, other.pipeline)
    yield from _file("device file", one.device, other.device)
    if one.data_title == other.data_title and one.data_digest != other.data_digest:
        yield Difference("data", one.data_digest[:12], other.data_digest[:12])
    materials = [{(each.step, each.what): each.sha256 for each in made.materials} for made in (one, other)]
    for step, what in dict.fromkeys((*materials[0], *materials[1])):
        digests = [each.get((step, what), "none")[:12] for each in materials]
        if digests[0] != digests[1]:
            yield Difference(f"{what} of the step {step}", digests[0], digests[1])


def budgets(first: Run, second: Run) -> Iterator[Difference]:
    """Checks that one run has alone, or that ended otherwise."""
    ones, others = (_checks(run) for run in (first, second))
    for key in dict.fromkeys((*ones, *others)):
        verdicts = [checks[key].verdict if key in checks else "not checked" for checks in (ones, others)]
        if verdicts[0] != verdicts[1]:
            yield Difference(f"{key[0]}: {key[1]}", verdicts[0], verdicts[1])


def _checks(run: Run) -> dict[tuple[str, str], CheckRow]:
    return {(check.artifact, check.limit): check for check in run.report.checks}


def _file(what: str, one: Source, other: Source) -> Iterator[Difference]:
    if one.sha256 == other.sha256:
        return
    lines = difflib.unified_diff(one.text.splitlines(), other.text.splitlines(), lineterm="", n=0)
    told = tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))
    yield Difference(what, one.name, other.name, told)


def _versions(first: Run, second: Run) -> Iterator[Difference]:
    """Of packages; where a run doesn't tell them, those under which it measured."""
    ones, others = (_packages(run) for run in (first, second))
    for name in sorted({*ones, *others}, key=str.lower):
        pair = ones.get(name, "none"), others.get(name, "none")
        if pair[0] != pair[1] and name != "edgekd":
            yield Difference(name, *pair)


def _packages(run: Run) -> dict[str, str]:
    if run.made is not None:
        return {**{each.name: each.version for each in run.made.packages}, "Python": run.made.python}
    return {
        "Python" if name == "python" else name: value
        for row in run.report.measurements
        for name, value in row.conditions.items()
        if name in VERSIONS
    }
