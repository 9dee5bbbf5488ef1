"""Limits of a budget: 'latency_p95 < 100 ms', 'quality >= 94 % of teacher'."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekd import units
from edgekd.errors import BadInputError, nearest

METRICS: dict[str, str] = {
    "latency_p50": "s",
    "latency_p90": "s",
    "latency_p95": "s",
    "latency_p99": "s",
    **dict.fromkeys((f"sustained_latency_p{percent}" for percent in (50, 95, 99)), "s"),
    **dict.fromkeys((f"loaded_latency_p{percent}" for percent in (50, 95, 99)), "s"),
    "load_time": "s",
    "first_inference": "s",
    "peak_memory": "B",
    "size": "B",
    "energy": "J",
    "quality": "ratio",
}
REFERENCES = ("teacher", "student_float")
_RULE = re.compile(r"\s*(<=|>=|<|>)\s*(.+?)(?:\s+of\s+(?:the\s+)?(\w+))?\s*\Z")


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound of a budget. ``value`` is SI; a quality limit may be relative to another model."""

    metric: str
    operator: str  # one of < <= > >=
    value: float
    relative_to: str | None
    origin: str  # file and line, or the command line

    @property
    def dimension(self) -> str:
        """The SI dimension of ``value``."""
        return METRICS[self.metric]

    @property
    def base(self) -> str:
        """The metric without its percentile: 'latency' for 'latency_p95'."""
        return re.sub(r"_p\d+\Z", "", self.metric)

    @property
    def percent(self) -> float | None:
        """The percentile that is limited: 95.0 for 'latency_p95', None where there is just one value."""
        match = re.search(r"_p(\d+)\Z", self.metric)
        return float(match[1]) if match else None

    @property
    def text(self) -> str:
        """The limit as a person writes it."""
        of = f" of {self.relative_to}" if self.relative_to else ""
        return f"{self.metric} {self.operator} {units.show(self.value, self.dimension)}{of}"


def parse_rule(metric: str, rule: str, origin: str) -> Limit:
    """Read ``rule`` ('< 100 ms', '>= 94 % of teacher') as a limit on ``metric``.

    Raises:
        BadInputError: unknown metric, operator, unit or reference; a bound on the wrong side.

    """
    if metric not in METRICS:
        raise BadInputError(f"{origin}: found the metric {metric!r}", nearest(metric, METRICS))
    match = _RULE.match(rule)
    if match is None:
        raise BadInputError(
            f"{origin}: found {rule!r} for {metric}, expected a comparison and a value",
            "write for example '< 100 ms' or '>= 94 % of teacher'",
        )
    operator, amount, reference = match.groups()
    value = units.parse(amount, METRICS[metric], f"{origin}: {metric}")
    limit = Limit(metric, operator, value, reference, origin)
    _refuse_nonsense(limit)
    return limit


def parse_option(text: str) -> Limit:
    """Read a whole limit as given to ``--limit``: 'latency_p95<=20ms'."""
    match = re.match(r"\s*(\w+)\s*([<>].*)\Z", text)
    if match is None:
        raise BadInputError(
            f"--limit: found {text!r}, expected METRIC, a comparison and a value",
            "write for example --limit 'latency_p95<=20ms'",
        )
    return parse_rule(match[1], match[2], "--limit")


def merge(base: tuple[Limit, ...], overrides: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Replace those of ``base`` whose metric is in ``overrides``; add the rest."""
    by_metric = {limit.metric: limit for limit in (*base, *overrides)}
    return tuple(by_metric.values())


def _refuse_nonsense(limit: Limit) -> None:
    floor = limit.metric == "quality"
    if limit.operator.startswith("<") == floor:
        side = "a floor (>=)" if floor else "a ceiling (<= or <)"
        raise BadInputError(f"{limit.origin}: found '{limit.metric} {limit.operator}', expected {side}")
    if limit.relative_to and (not floor or limit.relative_to not in REFERENCES):
        raise BadInputError(
            f"{limit.origin}: found 'of {limit.relative_to}' for {limit.metric}, "
            f"expected quality relative to one of {', '.join(REFERENCES)}"
        )
    if limit.value <= 0 or (floor and limit.value > 1):
        raise BadInputError(
            f"{limit.origin}: found {limit.metric} {limit.operator} {units.show(limit.value, limit.dimension)}, "
            f"expected {'above 0 % and at most 100 %' if floor else 'a value above zero'}"
        )
