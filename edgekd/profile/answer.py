"""Answer: what a runner found, on this machine or another, becomes measurements."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.profile.conditions import UNKNOWN
from edgekd.profile.measurement import Measurement, Provenance

Counters = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Origin:
    """What was measured where: ``artifact`` names the file in the measurements."""

    artifact: str
    size_bytes: int
    provenance: Provenance
    conditions: Mapping[str, str]


def seconds(nanoseconds: bytes) -> tuple[float, ...]:
    """Samples as a runner writes them, 64-bit nanoseconds; one that was cut off at the end is left out."""
    values = array("q")
    values.frombytes(nanoseconds[: len(nanoseconds) // 8 * 8])
    return tuple(value / 1e9 for value in values)


def energy_per_run(before: Counters | str, after: Counters | str, runs: int) -> tuple[float | None, str]:
    """Return joules per run, or None and the reason; a reason in place of the counters is handed on.

    Each counter is (microjoules, its largest value). One that is lower afterwards has wrapped around, once: at 100 W
    the usual range of 262 kJ lasts 43 minutes.

    >>> energy_per_run({"0/package-0": (900, 1000)}, {"0/package-0": (100, 1000)}, 2)
    (0.0001, '')
    """
    if isinstance(before, str) or isinstance(after, str):
        return None, before if isinstance(before, str) else str(after)
    used_uj = sum((after[zone][0] - start) % largest for zone, (start, largest) in before.items())
    if used_uj == 0:  # some virtual machines show counters that stand still
        return None, "the energy counter of this machine does not count"
    return used_uj / 1e6 / runs, ""


def latency(
    values_s: tuple[float, ...], origin: Origin, warmups_s: Sequence[float] = (), metric: str = "latency", **more: str
) -> Measurement:
    """The timed runs."""
    return Measurement(
        artifact=origin.artifact,
        metric=metric,
        unit="s",
        provenance=origin.provenance,
        values=values_s,
        warmups=tuple(warmups_s),
        conditions={**origin.conditions, **more},
    )


def single(origin: Origin, metric: str, unit: str, value: float | None, missing: str = "", **more: str) -> Measurement:
    """One figure, or why there is none."""
    return Measurement(
        artifact=origin.artifact,
        metric=metric,
        unit=unit,
        provenance=origin.provenance,
        values=() if value is None else (float(value),),
        unavailable=missing if value is None else "",
        conditions={**origin.conditions, **more},
    )


def measurements(answer: Mapping[str, Any], values_s: tuple[float, ...], origin: Origin) -> tuple[Measurement, ...]:
    """All that a runner's ``answer`` says (see ``edgekd.profile.child.measure``), beside the timed runs."""
    before, after = answer["energy"]
    steady = answer["steady_runs"]  # 0 where it wasn't asked for, or never reached
    energy_j, no_energy = energy_per_run(before, after, answer["runs"])
    memory = {name: str(answer[name] or UNKNOWN) for name in ("base_memory_bytes", "load_peak_bytes")}
    no_memory = "this system does not tell a process's peak"
    scope = "processor packages and memory, all processes"
    sustained = [latency(values_s[-steady:], origin, metric="sustained_latency")] if steady else []
    return (
        latency(values_s, origin, answer["warmups_s"], warmup_settled="yes" if answer["settled"] else "no"),
        *sustained,
        single(origin, "cold_start", "s", answer["cold_start_s"], "this system does not tell a process's age"),
        single(origin, "load_time", "s", answer["load_time_s"]),
        single(origin, "first_inference", "s", answer["first_inference_s"]),
        single(origin, "peak_memory", "B", answer["peak_memory_bytes"], no_memory, **memory),
        single(origin, "size", "B", origin.size_bytes),
        single(origin, "energy", "J", energy_j, no_energy, scope=scope),
    )
