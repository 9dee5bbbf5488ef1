"""Fit the latency model that edgekd ships from published measurements, and measure its errors on rows left out.

    python scripts/fit_latency.py [--check]

reads ``scripts/data/published_latency_rows.csv`` and writes ``edgekd/targets/latency_model.json``. The model is

    latency = (conv + dense + depthwise * d + weight_bytes * b) / (rate * clock) + operators * cycles / clock

in multiply-accumulates; ``rate`` (per cycle) belongs to a core, ``d``, ``b`` and ``cycles`` are shared. It is fitted by
non-negative least squares on relative errors, every device having its own scale, so that rows taken with several
threads still tell how kinds of layers compare. Only rows taken with one thread say how fast a core is.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from architectures import check_counts
from fitted_file import write_or_check
from published_rows import BOARDS, FILE, PHONE_LIKE, TAIL, Row, by, features, ratios, read_rows, sources
from scipy.optimize import nnls  # type: ignore[import-untyped]
from scipy.stats import norm, t  # type: ignore[import-untyped]

HERE = Path(__file__).parent
JUDGED = HERE / "data" / "judged_constants.json"
MODEL = HERE.parent / "edgekd" / "targets" / "latency_model.json"
NEAREST = {  # the classes that stand in for one of which no row is left, nearest first
    "in-order neon": ("in-order dotprod",),
    "in-order dotprod": ("in-order neon",),
    "out-of-order neon": ("out-of-order dotprod",),
    "out-of-order dotprod": ("out-of-order neon",),
    "out-of-order i8mm": ("out-of-order dotprod", "out-of-order neon"),
}
MOST_DEPTHWISE = 32.0  # a depthwise MAC may cost this many others: rows of one family alone can't tell the two apart
LARGE, SMALL = 1e8, 4e7  # MACs: networks above the one are fitted, those below the other predicted
Errors = dict[tuple[str, str], list[float]]  # by chip and class of core


@dataclass(frozen=True, slots=True)
class Shape:
    """Costs in units of one convolution multiply-accumulate, and cycles to start an operator."""

    depthwise: float
    weight_byte: float
    operator_cycles: float

    def units(self, row: Row) -> float:
        """The weighted work of a row."""
        return float(features(row) @ np.array([1.0, self.depthwise, self.weight_byte]))

    def started_s(self, row: Row) -> float:
        """The time that goes into starting operators; at most 70 % of what was measured."""
        return min(row.work.operators * self.operator_cycles / row.clock_hz, 0.7 * row.latency_s)

    def rate(self, row: Row) -> float:
        """Multiply-accumulates per cycle that this row shows."""
        return self.units(row) / ((row.latency_s - self.started_s(row)) * row.clock_hz)


def operator_cycles(rows: Sequence[Row]) -> tuple[float, float, float]:
    """Lower end, point and upper end of the cycles to start one operator, from devices with many TFLite rows.

    The point is the geometric mean of each device's own fit. The upper end charges the whole latency of the smallest
    network to its operators, on the worst device; the lower end is a tenth of the smallest fit (a judgement: with
    several threads, as most of these rows are, starting an operator costs more than with one).
    """
    fitted, charged = [], []
    for group in by([row for row in rows if row.engine == "tflite"], lambda row: (row.precision, *row.group)).values():
        if len(group) < 15:
            continue
        matrix = np.array([[*features(row), row.work.operators] for row in group])
        scale, latency = matrix.max(0), np.array([row.latency_s for row in group])
        cost = nnls(matrix / scale / latency[:, None], np.ones(len(group)))[0] / scale
        fitted.append(float(cost[3]) * group[0].clock_hz)
        charged.append(min(row.latency_s / row.work.operators for row in group) * group[0].clock_hz)
    positive = [cycles for cycles in fitted if cycles > 0]
    return min(positive) / 10, math.exp(float(np.mean(np.log(positive)))), max(charged)


def fit_shape(rows: Sequence[Row], cycles: float) -> Shape:
    """Alternate between every group's scale and the shared costs, until they settle."""
    groups = [np.array(index) for index in _positions(rows).values()]
    matrix = np.array([features(row) for row in rows])
    rest = np.array([row.latency_s - Shape(0, 0, cycles).started_s(row) for row in rows])
    weight = np.ones(len(rows))
    for index in groups:
        weight[index] = len(index) ** -0.5
    cost, scale = np.array([1.0, 10.0, 0.0]), matrix.max(0)
    for _ in range(40):
        speed = np.empty(len(rows))
        for index in groups:
            speed[index] = math.exp(np.mean(np.log(rest[index] / (matrix[index] @ cost))))
        cost = nnls(matrix / scale * (speed / rest * weight)[:, None], weight)[0] / scale
        cost[0] = max(cost[0], cost[1] / MOST_DEPTHWISE, 1e-30)
    return Shape(float(cost[1] / cost[0]), float(cost[2] / cost[0]), cycles)


def _positions(rows: Sequence[Row]) -> dict[tuple[str, str, str], list[int]]:
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        found[row.group].append(position)
    return found


def rate_of(core: str, isa_class: str, rows: Sequence[Row], shape: Shape) -> float:
    """Rate of a core: the median over devices with it, else of its class, else of the nearest class that is there."""
    single = [row for row in rows if row.threads == "1"]
    candidates = [[row for row in single if row.core == core]]
    candidates += [[row for row in single if row.isa_class == name] for name in (isa_class, *NEAREST[isa_class])]
    same = next(group for group in (*candidates, single) if group)
    medians = [np.median([shape.rate(row) for row in group]) for group in by(same, lambda row: row.group).values()]
    return float(np.median(medians))


def left_out(rows: Sequence[Row], cycles: float, keys: Sequence[str]) -> Errors:
    """log(measured / predicted) of every one-thread row, by chip, when all rows that share a key were left out."""
    errors: Errors = defaultdict(list)
    single = [row for row in rows if row.threads == "1"]
    for group in by(single, lambda row: tuple(getattr(row, key) for key in keys)).values():
        first = group[0]
        rest = [row for row in rows if all(getattr(row, key) != getattr(first, key) for key in keys)]
        shape = fit_shape(rest, cycles)
        for row in group:
            rate = rate_of(row.core, row.isa_class, rest, shape)
            predicted_s = shape.units(row) / (rate * row.clock_hz) + shape.started_s(row)
            errors[row.chip, row.isa_class].append(math.log(row.latency_s / predicted_s))
    return dict(errors)


def small_networks(rows: Sequence[Row], cycles: float) -> Errors:
    """The same errors, by device, of small networks on devices of which only the large networks were fitted."""
    errors: Errors = {}
    large = [row for row in rows if row.work.macs >= LARGE]
    shape = fit_shape(large, cycles)
    for group in by(rows, lambda row: row.group).values():
        rates = [shape.rate(row) for row in group if row.work.macs >= LARGE]
        small = [row for row in group if row.work.macs < SMALL]
        if rates and small:
            rate = float(np.median(rates)) * small[0].clock_hz
            predicted_s = [
                shape.units(row) / rate + shape.operator_cycles * row.work.operators / row.clock_hz for row in small
            ]
            pairs = zip(small, predicted_s, strict=True)
            errors[small[0].device, small[0].isa_class] = [math.log(row.latency_s / guess_s) for row, guess_s in pairs]
    return errors


def bounds(errors: Errors) -> tuple[float, float]:
    """Conformal bounds with the chip as the unit: each counts once, one unseen chip more at the far end.

    Under 19 chips there is no such quantile; then the extremes are widened as Student's t is against the normal.
    """
    pooled = sorted((value, 1 / len(values)) for values in errors.values() for value in values)
    chips = len(errors)
    widened = 1.0 if TAIL * (chips + 1) >= 1 else float(t.ppf(1 - TAIL, max(1, chips - 1)) / norm.ppf(1 - TAIL))
    mirrored = [(-value, share) for value, share in reversed(pooled)]
    return widened * _tail(pooled, chips), -widened * _tail(mirrored, chips)


def _tail(ordered: Sequence[tuple[float, float]], chips: int) -> float:
    """The value under which lies TAIL of chips + 1, less the one that is charged to the unseen chip."""
    allowed, passed = max(0.0, TAIL * (chips + 1) - 1), 0.0
    for value, share in ordered:
        passed += share
        if passed > allowed:
            return min(value, 0.0)
    return min(ordered[-1][0], 0.0)


def coverage(errors: Errors) -> float:
    """Share of the rows, chips counting alike, that an interval made of the other chips' errors holds."""
    shares = []
    for chip, values in errors.items():
        low, high = bounds({name: other for name, other in errors.items() if name != chip})
        shares.append(sum(low <= value <= high for value in values) / len(values))
    return float(np.mean(shares))


def describe_errors(errors: Errors) -> dict[str, float]:
    values = np.array([value for group in errors.values() for value in group])
    low, high = bounds(errors)
    figures = {
        "rows": len(values),
        "chips": len(errors),
        "median_ratio_error": math.expm1(float(np.median(np.abs(values)))),
        "p90_ratio_error": math.expm1(float(np.quantile(np.abs(values), 0.9))),
        "lower_factor": math.exp(low),
        "upper_factor": math.exp(high),
        "coverage": coverage(errors),
    }
    return {name: round(value, 3) for name, value in figures.items()}


def precision_model(rows: Sequence[Row], cycles: float) -> dict[str, object]:
    shape = fit_shape(rows, cycles)
    single = [row for row in rows if row.threads == "1"]
    variants = {
        "chip": ("chip",),
        "chip_and_family": ("chip", "family"),
        "chip_family_and_program": ("chip", "family", "engine"),
        "core_family_and_program": ("core", "family", "engine"),
    }
    errors = {name: left_out(rows, cycles, keys) for name, keys in variants.items()}
    return {
        "depthwise_cost": round(shape.depthwise, 3),
        "weight_byte_cost": round(shape.weight_byte, 3),
        "smallest_macs": round(min(row.work.macs for row in rows)),
        "cores": [_core(core, single, shape) for core in sorted({row.core for row in single})],
        "classes": [_class(name, single, shape, errors) for name in sorted({row.isa_class for row in single})],
        "left_out": {
            **{name: describe_errors(each) for name, each in errors.items()},
            "small_networks": describe_errors(small_networks(rows, cycles)),
        },
    }


def _core(core: str, single: Sequence[Row], shape: Shape) -> dict[str, object]:
    rows = [row for row in single if row.core == core]
    rate = rate_of(core, rows[0].isa_class, single, shape)
    return {"core": core, "macs_per_cycle": round(rate, 3), "devices": sorted({row.device for row in rows})}


def _class(name: str, single: Sequence[Row], shape: Shape, errors: dict[str, Errors]) -> dict[str, object]:
    """Rate of a class, and the widest of the bounds that its own chips and all chips give.

    Its own are few, so wide; but a class may be harder to predict than the others.
    """
    own = {variant: {key: each[key] for key in each if key[1] == name} for variant, each in errors.items()}
    figures = {variant: describe_errors(each) for variant, each in own.items()}
    widest = [bounds(each) for each in (*own.values(), *errors.values())]
    return {
        "isa_class": name,
        "macs_per_cycle": round(rate_of("", name, single, shape), 3),
        "lower_factor": round(math.exp(min(low for low, _ in widest)), 3),
        "upper_factor": round(math.exp(max(high for _, high in widest)), 3),
        "left_out": figures,
    }


def fit() -> dict[str, object]:
    check_counts()
    rows = read_rows()
    low, point, high = operator_cycles(rows)
    precisions = {
        name: precision_model([row for row in rows if row.precision == name], point) for name in ("int8", "float")
    }
    judged: dict[str, object] = json.loads(JUDGED.read_text(encoding="utf-8"))
    return {
        "confidence": 1 - 2 * TAIL,
        "rows": len(rows),
        "sources": sources(rows),
        "operator_cycles": {"point": round(point), "lower": round(low), "upper": round(high)},
        "precisions": precisions,
        "percentile_ratios": {"board": ratios(rows, BOARDS), "phone": ratios(rows, (*BOARDS, PHONE_LIKE))},
        **judged,
    }


if __name__ == "__main__":
    write_or_check(fit, MODEL, FILE, "Fit the shipped latency model from published rows.")
