"""What a program or a notebook calls, and the command line too: ``plan``, ``build``, ``verify``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from edgekd import asked, executor, findings, planning
from edgekd.asked import BuildOptions
from edgekd.evidence import Findings
from edgekd.planning import Plan
from edgekd.progress import Quiet, Reporter
from edgekd.report.model import Report
from edgekd.store import Store

if TYPE_CHECKING:
    from edgekd.bundle.verification import Verification

__all__ = ["BuildOptions", "Plan", "Report", "build", "build_plan", "plan", "ready", "verify"]
Named = str | Path
OUTPUT = "artifacts"


def plan(pipeline: Named = "default", device: Named = "host", **options: Unpack[BuildOptions]) -> Plan:
    """Return the checked list of steps that a build would take; nothing is run.

    Args:
        pipeline: a name or a file, as on the command line; ``device`` likewise.
        device: what the models are for.
        options: those of the command line, by their names: see :class:`BuildOptions`.

    Raises:
        BadInputError: what can be known to fail now.

    """
    from edgekd import device as devices
    from edgekd import pipeline as pipelines
    from edgekd.limits import parse_option

    asked.check(options)
    given = dict(options)
    tables = Path(options.get("output", OUTPUT)) / ".store" / "tables"
    given.pop("output", None)
    given["limits"] = tuple(map(parse_option, options.get("limits", ())))
    chosen = planning.Options(**given)  # type: ignore[arg-type]  # asked.check has seen to the names and values
    return planning.make(pipelines.load(str(pipeline)), devices.load(str(device)), chosen, tables)


def ready(plan: Plan) -> Plan:
    """Return ``plan`` if what it needs beyond this machine's packages is there: before hours of training.

    Raises:
        BadInputError: batches that the processes can't share, or no emulator.

    """
    executor.check_shares(plan)
    if plan.options.parity is not None:
        from edgekd.targets import arm64_tools

        arm64_tools.ready()
    return plan


def build(
    pipeline: Named = "default",
    device: Named = "host",
    *,
    reporter: Reporter | None = None,
    **options: Unpack[BuildOptions],
) -> Report:
    """Build, measure and judge; the run's folder is then ``output``/latest.

    Args:
        pipeline: as of :func:`plan`, and ``device`` and ``options`` too.
        device: see there.
        reporter: is told of each step; nothing is printed without one.
        options: see there.

    Raises:
        BadInputError: what was asked for can't be built.
        StageError: a step, or a tool that it needs, failed.

    """
    planned = ready(plan(pipeline, device, **options))
    return build_plan(planned, Path(options.get("output", OUTPUT)), reporter or Quiet())[0]


def verify(bundle: Named) -> Verification:
    """Check a bundle, a folder or a zip, and run its golden vectors on the runtimes that are installed.

    Raises:
        BadInputError: no bundle.

    """
    from edgekd.bundle import verifying

    return verifying.verify(Path(bundle))


def build_plan(plan: Plan, output: Path, reporter: Reporter) -> tuple[Report, Path]:
    """Take all steps of ``plan``, judge what they gave, and write the run folder; return the report and that folder."""
    from functools import partial

    from edgekd.report import folder
    from edgekd.rows import run_files

    began = time.monotonic()
    steps = executor.run(plan, Store(output / ".store"), reporter)
    found = Findings(plan, steps)
    report = findings.report(found, time.monotonic() - began)
    return report, folder.write(report, run_files(found), output, partial(_complete, found, report))


def _complete(found: Findings, report: Report, run: Path) -> None:
    """Add to a run folder what is made of the rest: what the page shows, the page, the bundle."""
    from edgekd import details
    from edgekd.bundle import writing
    from edgekd.bundle.making import making
    from edgekd.report import details as kept
    from edgekd.report import figure, page

    kept.write(details.details(found), run)
    details.write_scores(found, run)
    if figure.possible():
        page.write(report, run)
    writing.complete(making(found), run)
