"""Findings: judge what a build made, and put everything into its report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgekd import __version__, accelerated, efficiency, int8, parity, proof, remedies
from edgekd.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_OK
from edgekd.evidence import Findings
from edgekd.judge import Check, Evidence, Verdict, judge, worst
from edgekd.remedies import IMAGE, Known
from edgekd.report.model import FORMAT_VERSION, CheckRow, ParityRow, Report, StepRow
from edgekd.rows import artifact_rows, check_row, difference_rows, measurement_rows, notes, plain_facts, quality_row
from edgekd.targets import predicted
from edgekd.variants import File


def report(found: Findings, seconds: float) -> Report:
    """Judge the artifacts of a build and put everything into a report."""
    plan = found.plan
    compared = tuple(parity.rows(found))
    checks = tuple(all_checks(found, compared))
    verdict = worst(check.verdict for check in checks)
    quality = {name: quality_row(found.scores(name)) for name in found.outputs}
    measured = tuple(measurement_rows(found))
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
        quality=quality,
        differences=tuple(difference_rows(found)),
        figures=tuple(proof.figure_rows(found)),
        class_changes=tuple(proof.class_rows(found)),
        shifts=tuple(proof.shift_rows(found)),
        candidates=tuple(int8.candidate_rows(found)),
        parity=compared,
        measurements=measured,
        checks=_advised(checks, found),
        calibration=plain_facts(found.artifacts["calibration"]),
        notes=tuple(notes(found, verdict)),
        efficiency=tuple(efficiency.rows(quality, measured)),
    )


def _advised(checks: tuple[Check, ...], found: Findings) -> tuple[CheckRow, ...]:
    """The checks as the report holds them, with what to try about those that failed."""
    rows, known = tuple(map(check_row, checks)), _known(found)
    return tuple(replace(row, tries=remedies.rows(row, rows, known)) for row in rows)


def _known(found: Findings) -> Known:
    device, files = found.plan.device, found.files
    tokenizer = found.artifacts.get("tokenizer")
    return Known(
        limits=found.plan.limits,
        judged=found.judged,
        on_host=device.is_host,
        device=device if predicted.can_predict(device) else None,
        has_student="student_start" in found.artifacts,
        scores=found.scored,
        measured=found.measured,
        files={name: File(files[name].path, files[name].size_bytes, found.graphs[name]) for name in found.shipped},
        max_length=int(tokenizer.facts["max_length"]) if tokenizer else 0,
        of_images=found.tested["item"] == IMAGE,
    )


def exit_code(verdict: Verdict, *, allow_inconclusive: bool) -> int:
    """The exit code of a finished build."""
    if verdict is Verdict.INCONCLUSIVE and not allow_inconclusive:
        return EXIT_INCONCLUSIVE
    return EXIT_FAIL if verdict is Verdict.FAIL else EXIT_OK


def all_checks(found: Findings, compared: tuple[ParityRow, ...]) -> Iterator[Check]:
    """The checks, those of one file beside each other, the shipped files first."""
    checks = [*limit_checks(found), *accelerated.checks(found), *int8.checks(found), *parity.checks(compared, found)]
    for artifact in dict.fromkeys(check.artifact for check in checks):
        yield from (check for check in checks if check.artifact == artifact)


def limit_checks(found: Findings) -> Iterator[Check]:
    """Every limit against every shipped INT8 file."""
    for name in found.shipped:
        measurements = (*found.measured[name], *found.predicted.get(name, ()))
        yield from judge(
            found.plan.limits, Evidence(name, measurements, found.scores(name), found.references), found.judged
        )
