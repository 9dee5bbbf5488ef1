"""Findings: what the artifacts of a build say, as the rows of its report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import __version__
from edgekd.algorithms.agreement import agreement
from edgekd.algorithms.proportions import paired_difference, wilson
from edgekd.artifact import Artifact, Kind
from edgekd.build import StepTaken
from edgekd.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_OK
from edgekd.judge import Check, Evidence, Scores, Verdict, judge, worst
from edgekd.plan import Plan, final_float
from edgekd.profile import saved
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.report.model import (
    FORMAT_VERSION,
    ArtifactRow,
    CheckRow,
    DifferenceRow,
    MeasurementRow,
    ParityRow,
    QualityRow,
    Report,
    StepRow,
)
from edgekd.runtimes import BY_KIND
from edgekd.runtimes.graph import Graph
from edgekd.targets.predicted import predict

PERCENTS = (50, 90, 95, 99)
FILES = frozenset({Kind.ONNX, Kind.TFLITE})


@dataclass(frozen=True)
class Findings:
    """The artifacts of one build, read where they are needed."""

    plan: Plan
    steps: tuple[StepTaken, ...]

    @cached_property
    def artifacts(self) -> dict[str, Artifact]:
        """Every step's artifact by the step's name."""
        return {step.name: step.artifact for step in self.steps}

    @cached_property
    def files(self) -> dict[str, Artifact]:
        """The model files."""
        return {name: artifact for name, artifact in self.artifacts.items() if artifact.kind in FILES}

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        """What each model file computes."""
        return {name: BY_KIND[artifact.kind].describe(artifact.path) for name, artifact in self.files.items()}

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Logits and scores of every model that was evaluated."""
        prefix = "evaluate "
        return {
            name.removeprefix(prefix): dict(np.load(artifact.path))
            for name, artifact in self.artifacts.items()
            if name.startswith(prefix)
        }

    @cached_property
    def measured(self) -> dict[str, tuple[Measurement, ...]]:
        """What was measured on this host, by artifact."""
        prefix = "profile "
        return {
            name.removeprefix(prefix): saved.load(artifact.path)
            for name, artifact in self.artifacts.items()
            if name.startswith(prefix)
        }

    @cached_property
    def predicted(self) -> dict[str, tuple[Measurement, ...]]:
        """What is predicted for the device, by artifact; nothing where the device is this host."""
        if self.plan.device.is_host:
            return {}
        return {
            name: predict(graph, self.plan.device, name, self.files[name].size_bytes)
            for name, graph in self.graphs.items()
        }

    def scores(self, name: str) -> Scores:
        """What each test item scored."""
        return np.asarray(self.outputs[name]["scores"], np.float64)

    @property
    def float_model(self) -> str:
        """The name of the float model that was exported."""
        return final_float(self.plan.pipeline)


def report(plan: Plan, steps: tuple[StepTaken, ...], seconds: float) -> Report:
    """Judge the artifacts of ``steps`` and put everything into a report."""
    found = Findings(plan, steps)
    parity = tuple(parity_rows(found))
    checks = (*limit_checks(found), *(parity_check(row, found) for row in parity))
    verdict = worst(checks)
    return Report(
        format_version=FORMAT_VERSION,
        edgekd_version=__version__,
        verdict=verdict,
        exit_code=exit_code(verdict, allow_inconclusive=plan.options.allow_inconclusive),
        pipeline=plan.pipeline.name,
        device=plan.device.name,
        data=found.artifacts[f"evaluate {found.float_model}"].facts["data"],
        metric="top-1 accuracy",
        seconds=seconds,
        steps=tuple(StepRow(step.name, step.cached, step.seconds) for step in steps),
        artifacts=tuple(artifact_rows(found)),
        quality={name: quality_row(found.scores(name)) for name in found.outputs},
        differences=tuple(difference_rows(found)),
        parity=parity,
        measurements=tuple(measurement_rows(found)),
        checks=tuple(check_row(check) for check in checks),
        calibration=_facts(found.artifacts["calibration"]),
        notes=tuple(notes(found, verdict)),
    )


def exit_code(verdict: Verdict, *, allow_inconclusive: bool) -> int:
    """The exit code of a finished build."""
    if verdict is Verdict.INCONCLUSIVE and not allow_inconclusive:
        return EXIT_INCONCLUSIVE
    return EXIT_FAIL if verdict is Verdict.FAIL else EXIT_OK


def limit_checks(found: Findings) -> Iterator[Check]:
    """Every limit against every shipped INT8 file."""
    judged = judged_provenances(found.plan)
    references = {"teacher": found.scores("teacher"), "student_float": found.scores(found.float_model)}
    for name in shipped(found):
        measurements = (*found.predicted.get(name, ()), *found.measured[name])
        yield from judge(found.plan.limits, Evidence(name, measurements, found.scores(name), references), judged)


def shipped(found: Findings) -> list[str]:
    """The names of the INT8 files."""
    return [name for name in found.files if name.endswith("_int8")]


def judged_provenances(plan: Plan) -> frozenset[Provenance]:
    """What counts as evidence for the device: measured there (for this host, here), or predicted for it."""
    if plan.device.is_host:
        return frozenset({Provenance.ON_HOST})
    if plan.options.require == Provenance.ON_DEVICE:
        return frozenset({Provenance.ON_DEVICE})
    return frozenset({Provenance.ON_DEVICE, Provenance.PREDICTED})


def parity_rows(found: Findings) -> Iterator[ParityRow]:
    """The versions of the student, held against each other on all test items."""
    limits = found.plan.pipeline.parity
    floats = [found.float_model, *(name for name in found.files if name in ("onnx_float", "tflite_float"))]
    for index, first in enumerate(floats):
        for second in floats[index + 1 :]:
            value = agreement(found.outputs[first]["logits"], found.outputs[second]["logits"]).max_abs
            yield _parity(first, second, "max_abs", value, limits.float_max_abs)
    for second in shipped(found):
        first = second.replace("int8", "float")
        close = agreement(found.outputs[first]["logits"], found.outputs[second]["logits"])
        yield _parity(first, second, "top1", close.top1, limits.int8_top1)
        yield _parity(first, second, "cosine", close.cosine, limits.int8_cosine)


def _parity(first: str, second: str, metric: str, value: float, limit: float) -> ParityRow:
    met = value <= limit if metric == "max_abs" else value >= limit
    return ParityRow(first, second, metric, value, limit, Verdict.PASS if met else Verdict.FAIL)


def parity_check(row: ParityRow, found: Findings) -> Check:
    """A row of parity as a check."""
    sign = "<=" if row.metric == "max_abs" else ">="
    return Check(
        artifact=row.second,
        metric=f"parity_{row.metric}",
        limit=f"{row.metric} {sign} {row.limit:g} against {row.first}",
        origin=f"{found.plan.pipeline.path} [parity]",
        dimension="",
        bound=row.limit,
        point=row.value,
        lower=row.value,
        upper=row.value,
        provenance=Provenance.ON_HOST,
        verdict=Verdict(row.verdict),
        samples=len(found.scores(found.float_model)),
        advice="" if row.verdict == Verdict.PASS else "raise the limit in [parity] only if this difference is harmless",
    )


def quality_row(scores: Scores) -> QualityRow:
    """The share that was right, with its interval."""
    value, lower, upper = wilson(int(scores.sum()), len(scores))
    return QualityRow(value, lower, upper, len(scores))


def difference_rows(found: Findings) -> Iterator[DifferenceRow]:
    """Which models are compared item by item: each INT8 file with the teacher, and distilling with labels alone."""
    pairs = [(name, "teacher") for name in shipped(found)]
    if "control" in found.outputs:
        distilled = "student_unpruned" if "student_unpruned" in found.outputs else found.float_model
        pairs.append((distilled, "control"))
    for first, second in pairs:
        scores = found.scores(first)
        mean, lower, upper = paired_difference(scores, found.scores(second))
        yield DifferenceRow(first, second, mean, lower, upper, len(scores))


def artifact_rows(found: Findings) -> Iterator[ArtifactRow]:
    """The files of the run folder."""
    for name, artifact in found.artifacts.items():
        if artifact.kind in (Kind.OUTPUTS, Kind.PROFILE) or name == "teacher":
            continue
        graph = found.graphs.get(name)
        yield ArtifactRow(
            kind=name,
            path=file_name(name, artifact),
            sha256=artifact.sha256,
            size_bytes=artifact.size_bytes,
            macs=graph.macs if graph else None,
            weights=graph.weights if graph else artifact.facts.get("parameters"),
            facts=_facts(artifact),
        )


def run_files(plan: Plan, steps: tuple[StepTaken, ...]) -> dict[str, Path]:
    """Where each file of the run folder comes from: the models, and the raw measurements."""
    found = Findings(plan, steps)
    files = {row.path: found.artifacts[row.kind].path for row in artifact_rows(found)}
    for name in found.measured:
        files[f"measurements/{name}.npz"] = found.artifacts[f"profile {name}"].path
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
            yield from map(_measurement_row, measurements)


def _measurement_row(measurement: Measurement) -> MeasurementRow:
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
    )


def notes(found: Findings, verdict: Verdict) -> Iterator[str]:
    """What a reader should know besides the checks."""
    yield from _speed_notes(found)
    if verdict is Verdict.INCONCLUSIVE and found.plan.options.allow_inconclusive:
        yield "inconclusive checks were allowed (--allow-inconclusive): the exit code is 0 all the same"
    if found.plan.options.quick:
        yield "measured in a hurry (--quick): fewer runs than a verdict on a percentile needs"


def _speed_notes(found: Findings) -> Iterator[str]:
    p50 = {name: _median(measurements) for name, measurements in found.measured.items()}
    for form in ("onnx", "tflite"):
        unpruned, pruned = p50.get(f"{form}_unpruned"), p50.get(f"{form}_float")
        if unpruned and pruned:
            word = "faster" if pruned < unpruned else "SLOWER"
            yield f"pruning made the float {form} file {_times(unpruned, pruned)} {word} on this host (median)"
        teacher, int8 = p50.get(f"teacher_{form}"), p50.get(f"{form}_int8")
        if teacher and int8:
            word = "faster" if int8 < teacher else "SLOWER"
            yield f"the INT8 {form} file is {_times(teacher, int8)} {word} than the float teacher on this host (median)"
        if pruned and int8 and int8 > pruned:
            yield f"the INT8 {form} file is {_times(int8, pruned)} SLOWER than its float version on this host: " + (
                "it is made for another instruction set" if not found.plan.device.is_host else "ship the float one"
            )


def _median(measurements: tuple[Measurement, ...]) -> float:
    return next(m.percentile(50) for m in measurements if m.metric == "latency")


def _times(first: float, second: float) -> str:
    return f"{max(first, second) / min(first, second):.2f}x"


def _facts(artifact: Artifact) -> dict[str, Any]:
    return {name: value for name, value in artifact.facts.items() if name != "summary"}
