"""Findings: judge what a build made, and put everything into its report."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd import __version__, int8, proof
from edgekd.algorithms.agreement import agreement
from edgekd.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_OK
from edgekd.evidence import Findings
from edgekd.judge import Check, Evidence, Verdict, judge, worst
from edgekd.plan import Plan
from edgekd.profile.measurement import Provenance
from edgekd.report.model import FORMAT_VERSION, ParityRow, Report, StepRow
from edgekd.rows import artifact_rows, check_row, difference_rows, measurement_rows, notes, plain_facts, quality_row
from edgekd.tasks.base import Outputs


def report(found: Findings, seconds: float) -> Report:
    """Judge the artifacts of a build and put everything into a report."""
    plan = found.plan
    parity = tuple(parity_rows(found))
    checks = tuple(all_checks(found, parity))
    verdict = worst(checks)
    return Report(
        format_version=FORMAT_VERSION,
        edgekd_version=__version__,
        verdict=verdict,
        exit_code=exit_code(verdict, allow_inconclusive=plan.options.allow_inconclusive),
        pipeline=plan.pipeline.name,
        device=plan.device.name,
        data=found.tested["data"],
        metric=found.tested["metric"],
        item=found.tested["item"],
        seconds=seconds,
        steps=tuple(StepRow(step.name, step.cached, step.seconds) for step in found.steps),
        artifacts=tuple(artifact_rows(found)),
        quality={name: quality_row(found.scores(name)) for name in found.outputs},
        differences=tuple(difference_rows(found)),
        figures=tuple(proof.figure_rows(found)),
        class_changes=tuple(proof.class_rows(found)),
        shifts=tuple(proof.shift_rows(found)),
        candidates=tuple(int8.candidate_rows(found)),
        parity=parity,
        measurements=tuple(measurement_rows(found)),
        checks=tuple(check_row(check) for check in checks),
        calibration=plain_facts(found.artifacts["calibration"]),
        notes=tuple(notes(found, verdict)),
    )


def exit_code(verdict: Verdict, *, allow_inconclusive: bool) -> int:
    """The exit code of a finished build."""
    if verdict is Verdict.INCONCLUSIVE and not allow_inconclusive:
        return EXIT_INCONCLUSIVE
    return EXIT_FAIL if verdict is Verdict.FAIL else EXIT_OK


def all_checks(found: Findings, parity: tuple[ParityRow, ...]) -> Iterator[Check]:
    """The checks, those of one file beside each other, the shipped files first."""
    checks = [*limit_checks(found), *int8.checks(found), *(parity_check(row, found) for row in parity)]
    for artifact in dict.fromkeys(check.artifact for check in checks):
        yield from (check for check in checks if check.artifact == artifact)


def limit_checks(found: Findings) -> Iterator[Check]:
    """Every limit against every shipped INT8 file."""
    judged = judged_provenances(found.plan)
    models = {"teacher": "teacher", "student_float": found.float_model}
    references = {name: found.scores(model) for name, model in models.items() if model in found.outputs}
    for name in found.shipped:
        measurements = (*found.predicted.get(name, ()), *found.measured[name])
        yield from judge(found.plan.limits, Evidence(name, measurements, found.scores(name), references), judged)


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
            value = agreement(found.outputs[first]["outputs"], found.outputs[second]["outputs"]).max_abs
            yield _parity(first, second, "max_abs", value, limits.float_max_abs)
    for second in found.shipped:
        first = second.replace("int8", "float")
        close = agreement(found.outputs[first]["outputs"], found.outputs[second]["outputs"])
        if found.tested["kind"] == Outputs.LOGITS:
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
        limit=f"{row.metric} to {row.first} {sign} {row.limit:g}",
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
