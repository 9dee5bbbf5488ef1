"""Int8: what quantizing was worth: whether the INT8 files lose little enough, and whether they are faster at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgekd import units
from edgekd.evidence import Findings
from edgekd.judge import Check, Verdict
from edgekd.profile.measurement import Interval, Provenance
from edgekd.report import figure
from edgekd.report.model import CandidateRow
from edgekd.tensor_names import readable


def checks(found: Findings) -> Iterator[Check]:
    """For each shipped file: it loses at most max_drop and, where the device is this machine, is faster than in float.

    A file for another machine is not judged by its speed on this one; the notes say what was measured here.
    """
    for name in found.shipped:
        yield _drop(name, found)
        if found.plan.device.is_host:
            yield _faster(name, found)


def _drop(name: str, found: Findings) -> Check:
    facts = found.files[name].facts
    drop, most = facts["candidates"][facts["method"]]["drop"], facts["max_drop"]
    met, missed = drop["point"] <= most, drop["lower"] > most
    verdict = Verdict.PASS if met else Verdict.FAIL if missed else Verdict.INCONCLUSIVE
    advice = {
        Verdict.PASS: "",
        Verdict.FAIL: f"no candidate met max_drop: {facts['method']} lost least; raise max_drop, or train for longer",
        Verdict.INCONCLUSIVE: "too few rows to tell: raise [data] selection, or max_drop",
    }[verdict]
    return Check(
        artifact=name,
        metric="drop",
        limit=f"drop from {_float(name)} <= {units.show(most, 'ratio')}",
        origin=_origin(found),
        dimension="ratio",
        bound=most,
        point=drop["point"],
        lower=drop["lower"],
        upper=drop["upper"],
        provenance=Provenance.ON_HOST,
        verdict=verdict,
        samples=facts["held_out"],
        advice=advice,
    )


def _faster(name: str, found: Findings) -> Check:
    faster = found.files[name].facts["faster"]
    verdict = Verdict.PASS if faster["lower"] > 1 else Verdict.FAIL if faster["upper"] < 1 else Verdict.INCONCLUSIVE
    advice = {
        Verdict.PASS: "",
        Verdict.FAIL: "INT8 is slower than float here: ship the float file, or another mode",
        Verdict.INCONCLUSIVE: "as fast as float within what was measured: repeat on a quiet machine",
    }[verdict]
    return Check(
        artifact=name,
        metric="speed_up",
        limit=f"speed-up over {_float(name)} > 1",
        origin=_origin(found),
        dimension="",
        bound=1.0,
        point=faster["point"],
        lower=faster["lower"],
        upper=faster["upper"],
        provenance=Provenance.ON_HOST,
        verdict=verdict,
        advice=advice,
    )


def candidate_rows(found: Findings) -> Iterator[CandidateRow]:
    """Every candidate of every shipped file."""
    for name in found.shipped:
        facts = found.files[name].facts
        for method, each in facts["candidates"].items():
            chosen = method == facts["method"]
            drop = Interval(**each["drop"])
            closeness, latency_s = each["cosine"], each["latency_s"]
            yield CandidateRow(name, method, drop.point, drop.lower, drop.upper, closeness, latency_s, chosen)


def notes(found: Findings) -> Iterator[str]:
    """How fast the INT8 files are beside their float versions, measured in turns, and what else is to be known."""
    if not figure.possible():
        yield figure.MISSING
    for name in found.shipped:
        facts = found.files[name].facts
        made_for, faster = facts.get("isa"), facts["faster"]
        noun = f"the INT8 {found.files[name].kind} file"
        if made_for not in (None, faster["isa"]):
            yield f"{noun} is made for {made_for}; made for this host ({faster['isa']}) it is {_times(faster)}"
        else:
            yield f"{noun} is {_times(faster)}"
        if facts["mode"].startswith("static") and facts.get("left_float"):
            yield f"{noun} keeps operators in float that its quantizer can't do: {', '.join(facts['left_float'])}"
        yield from _steps(noun, facts)
        for tensor, apart in facts.get("unstable", {}).items():
            shown = readable(tensor)
            yield f"the range of {shown} in {noun} differs by {apart:.0%} between the halves of the calibration set"


def _steps(noun: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """What equalization, bias correction and fusion gave, each beside the same file without it."""
    for name, before in facts.get("steps", {}).items():
        now, then = (facts["candidates"][each] for each in (name, before))
        yield (
            f"{noun}: {before}, then {name.rpartition(', ')[2]}: cosine to float {then['cosine']:.5f} -> "
            f"{now['cosine']:.5f}, drop {then['drop']['point']:.2%} -> {now['drop']['point']:.2%}"
        )
    if "fusion" in facts:
        times = facts["fusion"]["point"]
        kept = "" if times > 1 else ", and so it is not"
        yield f"{noun}: with its graph fused for onnxruntime it is {times:.2f}x as fast in INT8{kept}"
    left = facts.get("equalization", {"left": {}})["left"]
    if left:
        counts = ", ".join(f"{operator} {len(names)}" for operator, names in left.items())
        yield f"{noun}: layers that aren't equalized, by what stands behind them: {counts}"


def _times(faster: dict[str, Any]) -> str:
    point = faster["point"]
    times = f"{max(point, 1 / point):.2f}x {'faster' if point >= 1 else 'SLOWER'}"
    return f"{times} than its float version (median of turns on this host)"


def _float(name: str) -> str:
    return name.replace("int8", "float")


def _origin(found: Findings) -> str:
    pipeline = found.plan.pipeline
    line = next(step.line for step in pipeline.stages if step.use == "quantize")
    return f"{pipeline.path}:{line}"
