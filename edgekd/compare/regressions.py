"""Rules such as 'latency_p95>5%': by how much a figure may get worse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekd.compare.figures import Change, Found, Refused
from edgekd.errors import BadInputError, nearest
from edgekd.limits import METRICS

RULE = re.compile(r"\s*(\w+)\s*>\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*\Z")
State = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A metric, and the share by which it may get worse."""

    metric: str
    share: float

    @property
    def text(self) -> str:
        """The rule as it is typed."""
        return f"{self.metric} > {self.share * 100:g} %"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule says of one artifact."""

    rule: str
    artifact: str
    provenance: str
    state: State
    text: str


def parse(text: str) -> Rule:
    """Read a rule.

    >>> parse("latency_p95>5%")
    Rule(metric='latency_p95', share=0.05)

    Raises:
        BadInputError: an unknown metric, or something else than '> SHARE %'.

    """
    match = RULE.match(text)
    if match is None:
        raise BadInputError(
            f"--fail-on-regression: found {text!r}, expected METRIC, '>' and a share in percent",
            "write for example --fail-on-regression 'latency_p95>5%'",
        )
    if match[1] not in METRICS:
        raise BadInputError(f"--fail-on-regression: found the metric {match[1]!r}", nearest(match[1], METRICS))
    return Rule(match[1], float(f"{float(match[2]) / 100:.12g}"))


def outcomes(rules: Iterable[Rule], figures: Sequence[Found]) -> Iterator[Outcome]:
    """Hold each rule against every INT8 file; a rule without a single figure can't be decided."""
    for rule in rules:
        yield from _of_rule(rule, figures) or [
            Outcome(rule.text, "", "", "inconclusive", "neither run has such a figure")
        ]


def worst(outcomes: Iterable[Outcome]) -> State:
    """Any fail: fail; else any inconclusive: inconclusive; else pass."""
    states = {each.state for each in outcomes}
    order: tuple[State, ...] = ("fail", "inconclusive")
    return next((state for state in order if state in states), "pass")


def _of_rule(rule: Rule, figures: Sequence[Found]) -> list[Outcome]:
    base = re.sub(r"_p\d+\Z", "", rule.metric)
    told = [each for each in figures if isinstance(each, Change) and each.metric == rule.metric and _shipped(each)]
    compared = {each.artifact for each in told}
    refused = [
        each
        for each in figures
        if isinstance(each, Refused) and each.metric == base and (_shipped(each) or not each.artifact)
    ]
    return [_judged(rule, each) for each in told] + [
        Outcome(rule.text, each.artifact, each.provenance, "inconclusive", f"not compared: {'; '.join(each.reasons)}")
        for each in refused
        if each.artifact not in compared
    ]


def _shipped(each: Change | Refused) -> bool:
    return each.artifact.endswith("_int8")


def _judged(rule: Rule, change: Change) -> Outcome:
    text = f"{abs(change.worsening):.1%} {'worse' if change.worsening > 0 else 'better'}"
    text = text if change.worsening else "the same"
    state: State = "pass"
    if change.worsening > rule.share:
        state = "fail" if change.certain else "inconclusive"
        text += "" if change.certain else f", which may be chance ({change.how})"
    return Outcome(rule.text, change.artifact, change.provenance, state, text)
