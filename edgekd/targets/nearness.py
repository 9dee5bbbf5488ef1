"""How well a device's latency is known: which published rows are near, and what would make it better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekd.device import Device
from edgekd.targets import anchors
from edgekd.targets.latency_model import isa_class_of
from edgekd.targets.transfer import Published, read_rows


def described(device: Device) -> Iterator[str]:
    """Lines for a person."""
    if device.is_host:
        yield "measured here: nothing is predicted"
        return
    if device.arch != "arm64" or device.facts.clusters is None:
        yield "not predicted: its cores are unknown or not Arm's"
        yield "better with: [facts.clusters] and its source, or a [reach] table"
        return
    rows = [row for row in read_rows() if row.place.cores]
    for precision in ("int8", "float"):
        own = [row for row in rows if row.precision == precision]
        for cluster in sorted(device.facts.clusters.value, key=lambda each: each.clock, reverse=True):
            yield f"{precision:<6} {cluster.core:<12} {_near(own, cluster.core, isa_class_of(cluster, device))}"
    known = anchors.read(device)
    yield f"anchors: {', '.join(f'{each.artifact} ({each.runtime}, {each.precision})' for each in known) or 'none'}"
    yield from _better(device, anchored=bool(known))


def _near(rows: Sequence[Published], core: str, isa_class: str) -> str:
    same = [row for row in rows if row.place.cores[0].name == core]
    alike = [row for row in rows if row.place.cores[0].isa_class == isa_class]
    found, what = (same, "the same core") if same else (alike, f"the class {isa_class!r}")
    if not found:
        return f"no published row of the class {isa_class!r}: carried over from other classes"
    chips = len({row.place.chip for row in found})
    return f"{len(found)} one-thread rows of {what}, on {chips} chip{'s' if chips > 1 else ''}"


def _better(device: Device, *, anchored: bool) -> Iterator[str]:
    yield f"no published row is of {device.title} with onnxruntime or LiteRT: intervals are those of unseen programs"
    if not anchored:
        yield f"better with: edgekd devices calibrate {device.name} --from a report measured on the device"
    if device.facts.isa is None:
        yield "better with: [facts.isa], without which dot products count as absent"
    if device.facts.power is None:
        yield "better with: [facts.power], without which energy isn't predicted"
