"""Pruning to a share of the latency: prune, export, time or predict, and again with another share of the work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd import processes
from edgekd.algorithms.choosing import largest
from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.profile.turns import speed_up
from edgekd.runtimes import onnxruntime
from edgekd.stages import export_onnx, timing
from edgekd.targets.predicted import median_s
from edgekd.tasks.base import MASK

if TYPE_CHECKING:
    from edgekd.stages.base import Context
    from edgekd.stages.prune import Config
    from edgekd.stages.pruning import Cutter, Pruned
    from edgekd.tasks.base import Task


@dataclass(frozen=True, slots=True)
class Found:
    """A network that is fast enough, and what was seen on the way."""

    pruned: Pruned
    facts: Mapping[str, Any]
    said: str


class Latency:
    """How long networks take as float ONNX files, as a share of what the whole one takes."""

    def __init__(self, whole: Any, task: Task, device: Device | None, context: Context) -> None:
        self._task, self._device, self._context = task, device, context
        self._whole = self._exported(whole, "whole")
        self.how = "measured on this host" if device is None else f"predicted for {device.title}"

    def share(self, module: Any, name: str) -> float:
        """The median of the turns' ratios, or the ratio of two predictions."""
        path = self._exported(module, name)
        if self._device is None:
            whole, pruned = timing.of_files([self._whole, path], self._task, self._context)
            return 1 / speed_up(whole, pruned).point
        return self._predicted(path, self._device) / self._predicted(self._whole, self._device)

    def _exported(self, module: Any, name: str) -> Path:
        path = self._context.scratch / f"{name}.onnx"
        export_onnx.write(module, self._task, path)
        return path

    def _predicted(self, path: Path, device: Device) -> float:
        row = self._task.representative()
        length = row[MASK].shape[1] if MASK in row else None
        return median_s(onnxruntime.describe(path, length), device).point


def prune(whole: Cutter, config: Config, task: Task, context: Context) -> Found:
    """Return the largest network of those tried whose latency is at most ``latency_kept`` of the whole one's.

    The share of the multiply-accumulates is found by bisection. Of several processes the first one measures. What it
    found is kept for a run that goes on after an interruption: another measurement might choose another network, into
    which the checkpoint's weights wouldn't fit.

    Raises:
        BadInputError: none of them is fast enough.

    """
    kept = context.partial / "latency.json"
    if not processes.said(kept.is_file()):
        seen = _searched(whole, config, task, context)
        if processes.is_main():
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.with_suffix(".partial").write_text(json.dumps(seen))
            kept.with_suffix(".partial").replace(kept)
        processes.wait()
    seen = json.loads(kept.read_text())
    return Found(
        _cut(whole, config, seen["macs_kept"]), {"latency": seen}, f", {seen['share']:.0%} of the {seen['how']}"
    )


def _cut(whole: Cutter, config: Config, macs_kept: float) -> Pruned:
    return whole.cut(config.model_copy(update={"latency_kept": None, "macs_kept": macs_kept}))


def _searched(whole: Cutter, config: Config, task: Task, context: Context) -> dict[str, Any]:
    """The share of the multiply-accumulates to keep, and the shares of the latency that were seen."""
    wanted = config.latency_kept or 1.0
    latency = Latency(whole.model[0], task, config.device, context) if processes.is_main() else None
    tried: dict[float, float] = {}

    def holds(kept: float) -> bool | None:
        try:
            pruned = _cut(whole, config, kept)
        except BadInputError:  # so little can't be had
            return None
        if latency is not None:
            tried[kept] = latency.share(pruned.module, f"pruned-{len(tried)}")
        return processes.said(tried.get(kept, 1.0) <= wanted)

    best = largest(holds, wanted)
    if best is None:
        least = min(tried.values(), default=1.0)
        raise BadInputError(
            f"prune: found a network with {least:.0%} of the latency at the least, expected at most {wanted:.0%}",
            "raise latency_kept, lower round_to, or use a wider student",
        )
    how = "" if latency is None else f"latency ({latency.how})"  # in another process, where nothing is measured
    shares = {f"{kept:.4f}": share for kept, share in tried.items()}
    return {"macs_kept": best, "share": tried.get(best), "how": how, "tried": shares}
