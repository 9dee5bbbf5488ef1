"""Foreign: profile any model file, whoever made it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekd import targets
from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.profile import made_inputs
from edgekd.profile.measurement import Measurement
from edgekd.profile.observed import Observed
from edgekd.profile.rules import Plan
from edgekd.runtimes import for_file
from edgekd.runtimes.asked import Asked, asked
from edgekd.targets import arm64_memory, arm64_tools
from edgekd.targets.arm64_cores import check_emulated, cpu_of


@dataclass(frozen=True, slots=True)
class Profiled:
    """What a profile found; ``loaded`` are the same figures beside busy cores, where that was asked for."""

    measurements: tuple[Measurement, ...]
    loaded: tuple[Measurement, ...]
    inputs: tuple[str, ...]  # what was made, a line each
    observed: Observed | None = None  # where the device is measured


def profile(
    path: Path, device: Device, plan: Plan, shapes: Mapping[str, tuple[int, ...]], *, emulated: bool = False
) -> Profiled:
    """Measure ``path`` on the device, or predict it where the device isn't reached, with inputs made for it.

    With ``emulated`` it is run on an emulated core of the device's kind too, for its memory there.

    Raises:
        BadInputError: the file can't be profiled, on this device or at all.
        StageError: the runner died, or the device can't be reached any more.

    """
    wanted = asked(path)
    runtime = for_file(path).NAME
    if runtime not in device.runtimes:
        raise BadInputError(
            f"{path}: found a file for {runtime}, which {device.name} can't run: "
            f"its runtimes are {', '.join(device.runtimes)} ({device.path})"
        )
    if emulated:
        check_emulated(device, "--emulated")
    arrays = made_inputs.make(path, wanted, shapes)
    with tempfile.TemporaryDirectory(prefix="edgekd-inputs-") as scratch:
        rows = Path(scratch) / "inputs.npz"
        np.savez(rows, allow_pickle=False, **arrays)
        subject = targets.Subject(path.stem, path, runtime, rows, _open_sizes(wanted, arrays))
        with targets.target_of(device).prepare(device) as session:
            measured = session.measure(subject, replace(plan, load=0))
            loaded = session.measure(subject, plan) if plan.load and targets.is_measured(device) else ()
            observed = session.observe(subject, plan) if targets.is_measured(device) else None
        if emulated:
            measured += arm64_memory.measure(subject, cpu_of(device), arm64_tools.ready())
    return Profiled(measured, loaded, tuple(made_inputs.told(wanted, arrays)), observed)


def _open_sizes(wanted: Sequence[Asked], arrays: made_inputs.Arrays) -> dict[str, int] | None:
    """What the sizes are that the file has by name only."""
    pairs = [pair for each in wanted for pair in zip(each.shape, arrays[each.name].shape, strict=True)]
    return {name: size for name, size in pairs if isinstance(name, str) and name != "?"} or None


def growth(quiet: Sequence[float], loaded: Sequence[float]) -> tuple[float, float]:
    """How many times the median, and the variance, of the latency is beside busy cores.

    >>> growth([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    (2.0, 4.0)
    """
    variances = float(np.var(quiet)), float(np.var(loaded))
    return float(np.median(loaded) / np.median(quiet)), variances[1] / variances[0] if variances[0] else float("inf")
