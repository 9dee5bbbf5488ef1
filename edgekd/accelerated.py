"""Accelerated: whether the files ran on the accelerator that the device file asks for, and what stayed on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgekd.evidence import Findings
from edgekd.judge import Check, Verdict
from edgekd.profile.measurement import Provenance
from edgekd.targets.accelerators import CPU, fell_back, partial

METRIC = "accelerator"


def checks(found: Findings) -> Iterator[Check]:
    """For each shipped file that was to run on an accelerator: that not all of it ran on the CPU.

    A runtime falls back without an error; its figures would be taken for the accelerator's.
    """
    for name in found.shipped:
        conditions = _conditions(name, found)
        asked = conditions.get("accelerator_requested", CPU)
        if asked == CPU:
            continue
        fallen = fell_back(conditions)
        words = conditions.get("accelerator_words", "no reason was given")
        yield Check(
            artifact=name,
            metric=METRIC,
            limit=f"runs on {asked}",
            origin=str(found.plan.device.path),
            dimension="",
            bound=1.0,
            point=0.0 if fallen else 1.0,
            lower=None,
            upper=None,
            provenance=Provenance.ON_DEVICE,
            verdict=Verdict.FAIL if fallen else Verdict.PASS,
            advice=f"it ran on the CPU alone, and the figures are the CPU's ({words}); ask for cpu, or use operators "
            f"that {asked} has"
            if fallen
            else "",
        )


def notes(found: Findings) -> Iterator[str]:
    """Which files ran on the accelerator in part."""
    for name in found.shipped:
        told = partial(_conditions(name, found))
        if told:
            yield f"{name} {told}"


def _conditions(name: str, found: Findings) -> Mapping[str, str]:
    return next((each.conditions for each in found.measured.get(name, ()) if each.metric == "latency"), {})
