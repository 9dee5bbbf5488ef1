"""Comparison: all that can be said of two runs, as lines and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from edgekd import units
from edgekd.compare import changes, figures, regressions
from edgekd.compare.changes import Difference
from edgekd.compare.figures import Change, Found, Ranks, Refused
from edgekd.compare.regressions import Outcome, Rule
from edgekd.compare.runs import Run
from edgekd.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_OK

FORMAT_VERSION = 1
EXIT_CODES = {"pass": EXIT_OK, "fail": EXIT_FAIL, "inconclusive": EXIT_INCONCLUSIVE}
SHOWN_LINES = 12


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs beside each other."""

    runs: tuple[Run, Run]
    differences: tuple[Difference, ...]
    figures: tuple[Found, ...]
    budgets: tuple[Difference, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        """That of the rules: 0 without any."""
        return EXIT_CODES[regressions.worst(self.outcomes)]

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        for letter, run in zip("AB", self.runs, strict=True):
            yield f"{letter}  {run.name} (edgekd {run.report.edgekd_version}, {run.report.verdict})"
        yield "what differs" if self.differences else "nothing differs in pipeline, device, data and versions"
        for each in self.differences:
            yield from _difference(each)
        for (metric, provenance), group in groupby(self._changes(), key=lambda each: (each.metric, each.provenance)):
            rows = list(group)
            how = ", ".join(dict.fromkeys(each.how for each in rows))
            yield f"{metric}, {provenance} ({how})" if metric != "size" else "size"
            yield from (_change(each) for each in rows)
        yield from self._ranks()
        yield from self._refused()
        if self.budgets:
            yield "checks that ended otherwise"
            yield from (f"  {each.what}: {each.first} -> {each.second}" for each in self.budgets)
        if self.outcomes:
            yield "regressions"
            yield from (_outcome(each) for each in self.outcomes)

    def json(self) -> str:
        """What a program reads."""
        kinds: tuple[type[Found], ...] = (Change, Ranks, Refused)
        found = {
            kind.__name__.lower(): [asdict(each) for each in self.figures if isinstance(each, kind)] for kind in kinds
        }
        told = {
            "format_version": FORMAT_VERSION,
            "exit_code": self.exit_code,
            "runs": [run.name for run in self.runs],
            "differences": [asdict(each) for each in self.differences],
            "figures": found["change"],
            "ranks": found["ranks"],
            "not_compared": found["refused"],
            "checks": [asdict(each) for each in self.budgets],
            "regressions": [asdict(each) for each in self.outcomes],
        }
        return json.dumps(told, indent=1)

    def _changes(self) -> list[Change]:
        """By metric and where it comes from; of latency the median and the 95th percentile alone."""
        shown = [each for each in self.figures if isinstance(each, Change)]
        shown = [each for each in shown if not each.metric.endswith(("_p90", "_p99"))]
        order = list(dict.fromkeys((each.metric, each.provenance) for each in shown))
        return sorted(shown, key=lambda each: order.index((each.metric, each.provenance)))

    def _ranks(self) -> Iterator[str]:
        ranks = [each for each in self.figures if isinstance(each, Ranks)]
        if ranks:
            yield "how often a run of B is slower than one of A, over all runs"
        for each in ranks:
            worth = f"worth {each.worth[0]:,} and {each.worth[1]:,} independent ones"
            yield (
                f"  {each.artifact:<18} {each.probability:7.1%}  {_p(each.p)}, {each.provenance}, "
                f"{each.runs[0]:,} and {each.runs[1]:,} runs, {worth}"
            )

    def _refused(self) -> Iterator[str]:
        refused = [each for each in self.figures if isinstance(each, Refused)]
        if refused:
            yield "not compared, since the conditions differ"
        seen = dict.fromkeys((each.metric, each.provenance, each.reasons) for each in refused)
        for metric, provenance, reasons in seen:
            yield f"  {metric}, {provenance}: {'; '.join(reasons)}"


def compare(first: Run, second: Run, rules: Sequence[Rule] = ()) -> Comparison:
    """Put ``first`` (the older one, say) and ``second`` beside each other, and hold ``rules`` against the change."""
    found = tuple(figures.found(first, second))
    return Comparison(
        (first, second),
        tuple(changes.differences(first, second)),
        found,
        tuple(changes.budgets(first, second)),
        tuple(regressions.outcomes(rules, found)),
    )


def _difference(each: Difference) -> Iterator[str]:
    pair = each.first if each.first == each.second else f"{each.first} -> {each.second}"
    yield f"  {each.what}: {pair}"
    yield from (f"    {line}" for line in each.lines[:SHOWN_LINES])
    if len(each.lines) > SHOWN_LINES:
        yield f"    and {len(each.lines) - SHOWN_LINES} more lines"


def _change(each: Change) -> str:
    values = " -> ".join(f"{units.show(value, each.unit):>9}" for value in (each.first, each.second))
    if each.metric == "quality":
        ends = f"{(each.lower or 0) * 100:+.2f}..{(each.upper or 0) * 100:+.2f}"
        grown = f"{(each.second - each.first) * 100:+.2f} points ({ends})"
    else:
        grown = f"{each.share:+.1%}"
    doubt = "" if each.certain or each.first == each.second else "  no difference shown"
    return f"  {each.artifact:<18} {values}  {grown}{doubt}"


def _outcome(each: Outcome) -> str:
    where = f"{each.artifact} {each.provenance}".strip()
    return f"  {each.rule}: {f'{where}: ' if where else ''}{each.state}: {each.text}"


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"
