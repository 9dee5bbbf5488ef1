"""Rows: what the artifacts of a build say, in the form that its report holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgekd import accelerated, int8, units
from edgekd.algorithms.order_statistics import percentile, stability
from edgekd.algorithms.proportions import paired_difference, paired_ratio
from edgekd.artifact import Artifact, Kind
from edgekd.bundle.inputs import HANDED
from edgekd.evidence import Findings
from edgekd.float_models import float_names
from edgekd.judge import Check, Scores, Verdict
from edgekd.profile.foreign import growth
from edgekd.profile.measurement import Measurement
from edgekd.proof import class_rows, interval
from edgekd.report.model import ArtifactRow, CheckRow, DifferenceRow, MeasurementRow, QualityRow
from edgekd.targets import is_measured, predicted

PERCENTS = (50, 90, 95, 99)
NOT_SHOWN = frozenset({Kind.OUTPUTS, Kind.PROFILE, Kind.TABLE, Kind.KERAS, Kind.RANGES, Kind.GOLDEN, Kind.EMULATED})


def quality_row(scores: Scores) -> QualityRow:
    """The metric, with its interval."""
    return QualityRow(*interval(scores), len(scores))


def difference_rows(found: Findings) -> Iterator[DifferenceRow]:
    """Models compared item by item: student and INT8 files with the teacher, the student with what it could be."""
    distilled = float_names(found.plan.pipeline).get("distill", found.float_model)
    pairs = [(name, "teacher") for name in (found.float_model, *found.shipped)]
    pairs += [(distilled, "student_start"), (distilled, "control"), (found.float_model, "tfidf")]
    for first, second in pairs:
        if first in found.outputs and second in found.outputs and first != second:
            yield _difference(first, second, found)


def _difference(first: str, second: str, found: Findings) -> DifferenceRow:
    scores, others = found.scores(first), found.scores(second)
    row = DifferenceRow(first, second, *paired_difference(scores, others), len(scores))
    if second != "teacher" or not others.mean() > 0:
        return row
    ratio = paired_ratio(scores, others)
    return replace(row, ratio=ratio.point, ratio_lower=ratio.lower, ratio_upper=ratio.upper)


def artifact_rows(found: Findings) -> Iterator[ArtifactRow]:
    """The files of the run folder."""
    for name, artifact in found.artifacts.items():
        if artifact.kind in NOT_SHOWN or (name.startswith("teacher") and artifact.kind is Kind.TORCH):
            continue
        graph = found.graphs.get(name)
        yield ArtifactRow(
            kind=name,
            path=file_name(name, artifact),
            sha256=artifact.sha256,
            size_bytes=artifact.size_bytes,
            macs=graph.macs if graph else None,
            weights=graph.weights if graph else artifact.facts.get("parameters"),
            facts=plain_facts(artifact),
        )


def run_files(found: Findings) -> dict[str, Path]:
    """Where each file of the run folder comes from: models, raw measurements, what the bundle is made of."""
    files = {row.path: found.artifacts[row.kind].path for row in artifact_rows(found)}
    for name in found.measured:
        files[f"measurements/{name}.npz"] = found.artifacts[f"profile {name}"].path
    files[HANDED] = found.artifacts["golden"].path
    return files


def file_name(name: str, artifact: Artifact) -> str:
    """Where a file lies in the run folder: the shipped ones on top, the rest below 'made'."""
    if name.endswith("_int8"):
        return f"model{artifact.path.suffix}"
    return f"made/{name}{artifact.path.suffix}"


def measurement_rows(found: Findings) -> Iterator[MeasurementRow]:
    """Every measurement and prediction, derived figures only; the raw values are in the run folder."""
    for group in (found.measured, found.predicted):
        for measurements in group.values():
            yield from map(measurement_row, measurements)
    yield from map(measurement_row, found.emulated)


def measurement_row(measurement: Measurement) -> MeasurementRow:
    """One measurement, with what is derived from its values."""
    fields: dict[str, float | None] = dict.fromkeys(("p50", "p90", "p95", "p99", "point", "lower", "upper"))
    if measurement.values:
        fields |= {f"p{percent}": measurement.percentile(percent) for percent in PERCENTS}
    main = measurement.predicted.get("p50") or measurement.predicted.get("value")
    if main is not None:
        fields |= {name: interval.point for name, interval in measurement.predicted.items() if name != "value"}
        fields |= asdict(main)
    return MeasurementRow(
        artifact=measurement.artifact,
        metric=measurement.metric,
        unit=measurement.unit,
        provenance=measurement.provenance,
        n=len(measurement.values),
        warmups=len(measurement.warmups),
        **fields,
        intervals={name: asdict(interval) for name, interval in measurement.predicted.items()},
        unavailable=measurement.unavailable,
        conditions=dict(measurement.conditions),
    )


def check_row(check: Check) -> CheckRow:
    """A check as the report holds it."""
    return CheckRow(
        artifact=check.artifact,
        metric=check.metric,
        limit=check.limit,
        origin=check.origin,
        point=check.point,
        lower=check.lower,
        upper=check.upper,
        unit=check.dimension,
        provenance=check.provenance,
        verdict=check.verdict,
        margin=check.margin,
        samples=check.samples,
        samples_needed=check.samples_needed,
        advice=check.advice,
        bound=check.bound,
        excess=check.excess,
    )


def notes(found: Findings, verdict: Verdict) -> Iterator[str]:
    """What a reader should know besides the checks."""
    yield from _race_notes(found)
    yield from _speed_notes(found)
    yield from _strained_notes(found)
    yield from int8.notes(found)
    yield from accelerated.notes(found)
    yield from _data_notes(found)
    yield from _prediction_notes(found)
    if verdict is Verdict.INCONCLUSIVE and found.plan.options.allow_inconclusive:
        yield "inconclusive checks were allowed (--allow-inconclusive): the exit code is 0 all the same"
    if found.plan.options.quick:
        yield "measured in a hurry (--quick): fewer runs than a verdict on a percentile needs"


def _data_notes(found: Findings) -> Iterator[str]:
    """What was found and done about the data, and which classes an INT8 file lost."""
    read = (found.artifacts["calibration"].facts, found.tested)  # the training split, then the test split
    yield from dict.fromkeys(problem for facts in read for problem in facts.get("problems", ()))
    for node in found.plan.nodes:
        if node.own_data:
            problems = found.artifacts[node.name].facts["problems"]
            yield from (f"data of the stage {node.stage!r}: {problem}" for problem in problems)
    if found.plan.options.control and "control" not in found.outputs and "student_start" in found.outputs:
        yield f"no control: {found.plan.pipeline.task} has no labels that a student could be trained on alone"
    for row in class_rows(found):
        if row.lost:
            recalls = f"{row.teacher_recall or 0:.1%} of them, the file {row.recall or 0:.1%}"
            yield f"{row.model} lost the class {row.name!r}: the teacher finds {recalls} (p = {row.p_adjusted:.2g})"


def _prediction_notes(found: Findings) -> Iterator[str]:
    """What the predicted latencies of the shipped files don't rest on."""
    for name in found.shipped:
        for each in found.predicted.get(name, ()):
            if each.metric == "latency":
                yield from predicted.warnings(each)


def _race_notes(found: Findings) -> Iterator[str]:
    """How pruning did beside its rivals, where they were raced."""
    name = float_names(found.plan.pipeline).get("prune")
    yield from found.artifacts[name].facts.get("notes", ()) if name is not None else ()


def _speed_notes(found: Findings) -> Iterator[str]:
    name = float_names(found.plan.pipeline).get("prune")
    kept = "pruned" if name is None else found.artifacts[name].facts.get("kept", "pruned")
    for form in ("onnx", "tflite") if kept != "unpruned" else ():
        noun = f"the {kept} float {{form}} file"
        yield from _compared(found, f"{form}_float", f"{form}_unpruned", noun, "before pruning")
    for form in ("onnx", "tflite"):
        yield from _compared(found, f"{form}_int8", f"teacher_{form}", "the INT8 {form} file", "the float teacher")


def _strained_notes(found: Findings) -> Iterator[str]:
    """How much slower the shipped files get without a pause, and beside other work."""
    kinds = {"sustained_latency": "at the steady speed of a long run", "loaded_latency": "beside {} busy cores"}
    for name in found.shipped:
        for measurement in found.measured[name]:
            if measurement.metric in kinds:
                when = kinds[measurement.metric].format(measurement.conditions["busy_cores"])
                yield f"{name}: {when}, {_strained(_latency(found.measured[name]), measurement.values)}"


def _strained(quiet: tuple[float, ...], strained: tuple[float, ...]) -> str:
    median, variance = growth(quiet, strained)
    p95 = " against ".join(units.show(percentile(values, 95), "s") for values in (strained, quiet))
    return f"p95 is {p95}; {median:.2f}x the median and {variance:.2f}x the variance"


def _compared(found: Findings, first: str, second: str, noun: str, than: str) -> Iterator[str]:
    """Say how much faster ``first`` ran than ``second`` in this run, and whether that can be relied on."""
    if not {first, second} <= found.measured.keys():
        return
    values = [_latency(found.measured[name]) for name in (first, second)]
    if not all(values):
        return  # a runner that tells no single runs
    one, other = (percentile(each, 50) for each in values)
    times = f"{max(one, other) / min(one, other):.2f}x {'faster' if one < other else 'SLOWER'}"
    doubt = "" if all(stability(each).stable for each in values) else ", in an unstable session"
    form = found.files[first].kind
    place = "the device" if is_measured(found.plan.device) and not found.plan.device.is_host else "this host"
    yield f"{noun.format(form=form)} is {times} than {than} (median on {place}{doubt})"


def _latency(measurements: tuple[Measurement, ...]) -> tuple[float, ...]:
    return next(m.values for m in measurements if m.metric == "latency")


def plain_facts(artifact: Artifact) -> dict[str, Any]:
    """An artifact's facts without the line that the terminal shows, and without what stands in the notes."""
    return {name: value for name, value in artifact.facts.items() if name not in ("summary", "problems", "notes")}
