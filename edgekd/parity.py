"""Parity: the versions of one model held against each other on all test items, and what to do where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgekd import units
from edgekd.algorithms.agreement import Agreement, agreement
from edgekd.algorithms.proportions import paired_difference
from edgekd.artifact import Kind
from edgekd.errors import StageError
from edgekd.evidence import Findings
from edgekd.judge import Check, Verdict
from edgekd.profile.measurement import Provenance
from edgekd.report.model import ParityRow
from edgekd.tasks.base import Arrays, Outputs

AT_MOST = frozenset({"max_abs", "drop"})  # the others are floors
HOST, ARM64 = "x86_64", "arm64"  # one file on two processors, beside two versions of a model
SHOWN = 3  # misses that an advice names
FLOATS = ("onnx_float", "tflite_float")
ROWS = 4  # on which two float versions are traced
ADVICE = {
    "drop": "keep the operators in float that lose most (keep_float in 'quantize'), or train longer, or with 'qat'",
    "top1": "keep operators in float (keep_float in 'quantize'), or raise calibration_samples",
    "cosine": "keep operators in float (keep_float in 'quantize'), or raise calibration_samples",
}


def rows(found: Findings) -> Iterator[ParityRow]:
    """Torch, ONNX and TFLite in float; each INT8 file and its float version; the INT8 files of both formats."""
    limits = found.plan.pipeline.parity
    for first, second in combinations([found.float_model, *(name for name in FLOATS if name in found.files)], 2):
        close = _agreement(first, second, found)
        yield _row(first, second, "max_abs", close.max_abs, limits.float_max_abs)
        yield _row(first, second, "cosine", close.cosine, limits.float_cosine)
    for second in found.shipped:
        first = second.replace("int8", "float")
        yield _drop(first, second, found)
        yield from _agreed(first, second, limits.int8_top1, limits.int8_cosine, found)
    for first, second in combinations(found.shipped, 2):
        yield from _agreed(first, second, limits.formats_top1, limits.formats_cosine, found)
    for name, outcome in _emulated(found).items():
        yield from _emulated_rows(name, outcome)


def checks(compared: tuple[ParityRow, ...], found: Findings) -> Iterator[Check]:
    """The rows as checks; of a float pair that differs, the advice names the operator at which it starts."""
    parting = cache(lambda first, second: _parting(first, second, found))
    for row in compared:
        yield _check(row, found, "" if row.verdict == Verdict.PASS else _advice(row, found, parting))


def _emulated(found: Findings) -> dict[str, Any]:
    """What the step 'arm64' found for each INT8 file, where there was one."""
    if ARM64 not in found.artifacts:
        return {}
    by_file = {each["file"]: each for each in found.artifacts[ARM64].facts["outcomes"]}
    return {name: by_file[f"model{found.files[name].path.suffix}"] for name in found.shipped}


def _emulated_rows(name: str, outcome: dict[str, Any]) -> Iterator[ParityRow]:
    """The file on an Arm processor beside itself on this host; the tolerance is that of the golden vectors."""
    compared, within = outcome["found"], outcome["within"]
    verdict = Verdict.FAIL if compared["misses"] else Verdict.PASS
    bound = {"max_abs": within["max_abs"], "cosine": within["cosine"]}
    for metric, limit in bound.items():
        if limit is not None:
            place = f"{name} on {HOST}"
            yield ParityRow(place, name, metric, compared[metric], limit, verdict, provenance=Provenance.EMULATED)


def _agreement(first: str, second: str, found: Findings) -> Agreement:
    return agreement(found.outputs[first]["outputs"], found.outputs[second]["outputs"])


def _agreed(first: str, second: str, top1: float, cosine: float, found: Findings) -> Iterator[ParityRow]:
    close = _agreement(first, second, found)
    if found.tested["kind"] == Outputs.LOGITS:
        yield _row(first, second, "top1", close.top1, top1)
    yield _row(first, second, "cosine", close.cosine, cosine)


def _row(first: str, second: str, metric: str, value: float, limit: float) -> ParityRow:
    met = value <= limit if metric in AT_MOST else value >= limit
    return ParityRow(first, second, metric, value, limit, Verdict.PASS if met else Verdict.FAIL)


def _drop(first: str, second: str, found: Findings) -> ParityRow:
    """What INT8 loses on the test items; it fails where the whole paired interval lies beyond the limit."""
    limit, before = found.plan.pipeline.parity.int8_drop, found.scores(first)
    base = abs(float(before.mean())) or 1.0
    point, lower, upper = (bound / base for bound in paired_difference(before, found.scores(second)))
    verdict = Verdict.PASS if point <= limit else Verdict.FAIL if lower > limit else Verdict.INCONCLUSIVE
    return ParityRow(first, second, "drop", point, limit, verdict, lower, upper)


def _check(row: ParityRow, found: Findings, advice: str) -> Check:
    sign = "<=" if row.metric in AT_MOST else ">="
    share, arm = row.metric == "drop", row.provenance == Provenance.EMULATED
    bound = units.show(row.limit, "ratio") if share else f"{row.limit:.3g}" if arm else f"{row.limit:g}"
    noun = f"{row.metric} to {HOST if arm else row.first}"
    return Check(
        artifact=row.second,
        metric=f"parity_{ARM64}_{row.metric}" if arm else f"parity_{row.metric}",
        limit=f"{'drop on test items' if share else noun} {sign} {bound}",
        origin="--parity arm64" if arm else f"{found.plan.pipeline.path} [parity]",
        dimension="ratio" if share else "",
        bound=row.limit,
        point=row.value,
        lower=row.value if row.lower is None else row.lower,
        upper=row.value if row.upper is None else row.upper,
        provenance=row.provenance,
        verdict=Verdict(row.verdict),
        samples=_emulated(found)[row.second]["found"]["vectors"] if arm else len(found.scores(found.float_model)),
        advice=advice,
    )


def _advice(row: ParityRow, found: Findings, parting: Callable[[str, str], str]) -> str:
    if row.verdict == Verdict.INCONCLUSIVE:
        return "too few test items to tell: test on more, or raise int8_drop in [parity]"
    if row.provenance == Provenance.EMULATED:
        misses = _emulated(found)[row.second]["found"]["misses"]
        more = f"; {len(misses) - SHOWN} more" if len(misses) > SHOWN else ""
        return f"{'; '.join(misses[:SHOWN])}{more}: measure quality on such a device before relying on it"
    return parting(row.first, row.second) if row.second in FLOATS else ADVICE[row.metric]


def _parting(first: str, second: str, found: Findings) -> str:
    """Where two float versions part, on the test rows of which they say the most different things."""
    from edgekd.traces import trace

    inputs, models = _rows_apart(first, second, found), (found.artifacts[name] for name in (first, second))
    try:
        one, other = (trace(each.kind, each.path, inputs) for each in models)
    except StageError as error:
        return f"the operator at which they part can't be found: {error.message}"
    places = {first: one.parting(other), second: other.parting(one)}
    named = [f"{place.kind} {place.name!r} of {name}" for name, place in places.items() if place is not None]
    if not named:
        return "no operator sets them apart: rounding adds up; raise the limit in [parity] if that is harmless"
    return f"all is equal up to {' and '.join(named)}, and nothing behind: look at that operator's weights and options"


def _rows_apart(first: str, second: str, found: Findings) -> list[Arrays]:
    """The inputs of those rows; texts as long as the model takes them, as TFLite pads them to that."""
    outputs = [found.outputs[name]["outputs"].astype(np.float64) for name in (first, second)]
    worst = np.argsort(-np.abs(outputs[0] - outputs[1]).max(1), kind="stable")[:ROWS]
    node = next(each for each in found.plan.nodes if each.name == f"evaluate {first}")
    readers = [found.artifacts[name] for name in node.inputs if found.artifacts[name].kind is Kind.TOKENIZER]
    with TemporaryDirectory() as scratch:
        task = found.plan.data.open(readers[0].path if readers else None, Path(scratch))
        inputs = [task.inputs("test", worst[place : place + 1]) for place in range(len(worst))]
    return [_padded(row, int(readers[0].facts["max_length"])) for row in inputs] if readers else inputs


def _padded(row: Arrays, length: int) -> Arrays:
    return {name: np.pad(values, ((0, 0), (0, length - values.shape[1]))) for name, values in row.items()}
