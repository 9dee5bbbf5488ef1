"""How far predictions are off for published rows that were left out: by these errors intervals are made and judged."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from edgekd.algorithms.transfer import Evidence, Guess, coverage, widening
from edgekd.targets.transfer import UNKNOWN, Group, Published, sample_of, terms

Errors = dict[str, list[tuple[float, float]]]  # log(measured / predicted) and its expected deviation, by chip
Chosen = Callable[[Published], bool]


@dataclass(frozen=True, slots=True)
class Summary:
    """What errors of left-out rows come to."""

    median_error: float  # |predicted / measured - 1|; half of the rows are below
    median_factor: float  # the larger over the smaller of both, less 1, which is stricter where predicted < measured
    coverage: float | None  # share of rows inside 90 % intervals made without their chip; None under three chips
    widening: float
    rows: int
    chips: int


def summarize(errors: Errors) -> Summary:
    """The median error, and how well intervals hold."""
    scores = {chip: [error / deviation for error, deviation in each] for chip, each in errors.items()}
    logs = [error for each in errors.values() for error, _ in each]
    held = coverage(scores) if len(scores) > 2 else None
    return Summary(
        median_error=median(abs(math.expm1(-log)) for log in logs),
        median_factor=math.expm1(median(abs(log) for log in logs)),
        coverage=held,
        widening=widening(scores),
        rows=len(logs),
        chips=len(scores),
    )


def evidence(rows: Sequence[Published], group: Group) -> Evidence:
    """The rows of one group as evidence."""
    samples = [sample_of(row, group.costs) for row in rows]
    logs = np.array([math.log(row.latency_s) for row in rows])
    return Evidence(samples, logs, terms(group.variances), group.noise)


class LeftOut:
    """Errors of the rows of one group, of which those that are ``chosen`` are reported."""

    def __init__(self, rows: Sequence[Published], group: Group) -> None:
        self._rows, self._group, self._evidence = list(rows), group, evidence(rows, group)
        self._classes = [sample_of(row, group.costs).labels["class"] for row in rows]

    def new_network(self, chosen: Chosen) -> Errors:
        """A known device, a network that was measured nowhere, of a family of which others were."""
        networks = {(row.family, row.model) for row in self._rows}
        families = [family for family, _ in networks]
        blocks = self._blocks(lambda row: row.model)
        return self._blockwise([each for each in blocks if families.count(self._rows[each[0]].family) > 1], chosen)

    def new_family(self, chosen: Chosen) -> Errors:
        """A known device, a family of networks that was measured nowhere."""
        return self._blockwise(self._blocks(lambda row: row.family), chosen)

    def data_sheet(self, chosen: Chosen) -> Errors:
        """A chip of which just the cores are known; the network was measured on others."""
        found: Errors = defaultdict(list)
        for block in self._blocks(lambda row: row.place.chip):
            guess = self._evidence.left_out(block)
            for position in self._told(block, chosen):
                if self._rows[block[position]].place.cores:
                    self._note(found, block, position, guess)
        return dict(found)

    def anchored(self, chosen: Chosen) -> Errors:
        """A chip on which one other network was measured, where chips with cores of the same class were."""
        found: Errors = defaultdict(list)
        for block in self._blocks(lambda row: row.place.chip):
            guess = self._evidence.left_out(block)
            told = [each for each in self._told(block, chosen) if self._has_class(block[each])]
            for anchor in told:
                after = guess.given(anchor, math.log(self._rows[block[anchor]].latency_s))
                for position in told:
                    if self._is_anchor(self._rows[block[anchor]], self._rows[block[position]]):
                        self._note(found, block, position, after)
        return dict(found)

    def new_program(self) -> tuple[Errors, Errors]:
        """An unseen program, chip and family of networks: by program, and by chip once one network was measured."""
        plain: Errors = defaultdict(list)
        anchored: Errors = defaultdict(list)
        for block in self._blocks(lambda row: (row.engine, row.place.chip, row.family)):
            first = self._rows[block[0]]
            if first.load is None:
                continue
            wanted = [self._rows[index] for index in block]
            anchors = [row for row in self._rows if row.load and row.engine == first.engine]
            anchors = [row for row in anchors if row.place.chip == first.place.chip and row.family != first.family]
            guess = self._without(first).predict([sample_of(row, self._group.costs) for row in (*wanted, *anchors)])
            for position, row in enumerate(wanted):
                log = math.log(row.latency_s)
                plain[first.engine].append((log - float(guess.mean[position]), guess.deviation(position)))
                for index, anchor in enumerate(anchors, len(wanted)):
                    if self._is_anchor(anchor, row):
                        after = guess.given(index, math.log(anchor.latency_s))
                        anchored[first.place.chip].append(
                            (log - float(after.mean[position]), after.deviation(position))
                        )
        return dict(plain), dict(anchored)

    def _without(self, row: Published) -> Evidence:
        rest = [each for each in self._rows if each.engine != row.engine and each.family != row.family]
        return evidence([each for each in rest if each.place.chip != row.place.chip], self._group)

    @staticmethod
    def _is_anchor(anchor: Published, row: Published) -> bool:
        return anchor.model != row.model and (anchor.place.unit, anchor.engine, anchor.threads) == (
            row.place.unit,
            row.engine,
            row.threads,
        )

    def _blocks(self, key: Callable[[Published], object]) -> Iterator[list[int]]:
        found: dict[object, list[int]] = defaultdict(list)
        for index, row in enumerate(self._rows):
            found[key(row)].append(index)
        yield from found.values()

    def _blockwise(self, blocks: Sequence[list[int]] | Iterator[list[int]], chosen: Chosen) -> Errors:
        found: Errors = defaultdict(list)
        for block in blocks:
            if self._rows[block[0]].load is None:
                continue
            guess = self._evidence.left_out(block)
            for position, index in enumerate(block):
                if chosen(self._rows[index]):
                    self._note(found, block, position, guess)
        return dict(found)

    def _note(self, found: Errors, block: Sequence[int], position: int, guess: Guess) -> None:
        row = self._rows[block[position]]
        error = math.log(row.latency_s) - float(guess.mean[position])
        found[row.place.chip].append((error, guess.deviation(position)))

    def _told(self, block: Sequence[int], chosen: Chosen) -> list[int]:
        """Positions of the chosen rows whose network was measured on another chip."""
        inside = set(block)
        others = {row.model for index, row in enumerate(self._rows) if index not in inside}
        rows = [self._rows[index] for index in block]
        return [position for position, row in enumerate(rows) if chosen(row) and row.model in others]

    def _has_class(self, index: int) -> bool:
        """Whether a chip beside this row's has cores of its class."""
        chip = self._rows[index].place.chip
        others = {kind for row, kind in zip(self._rows, self._classes, strict=True) if row.place.chip != chip}
        return self._classes[index] in others - {UNKNOWN}
