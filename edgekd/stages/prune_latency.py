"""Pruning to a share of the latency: prune, export, time or predict, and again with another share of the work."""

from __future__ import annotations

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

    The share of the multiply-accumulates is found by bisection. Of several processes the first one measures.

    Raises:
        BadInputError: none of them is fast enough.

    """
    wanted = config.latency_kept or 1.0
    latency = Latency(whole.model[0], task, config.device, context) if processes.is_main() else None
    tried: dict[float, float] = {}

    def holds(kept: float) -> bool | None:
        try:
            pruned = whole.cut(config.model_copy(update={"latency_kept": None, "macs_kept": kept}))
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
    pruned = whole.cut(config.model_copy(update={"latency_kept": None, "macs_kept": best}))
    if latency is None:  # in another process, whose facts nobody keeps
        return Found(pruned, {}, "")
    seen = {"share": tried[best], "how": latency.how, "tried": {f"{kept:.4f}": share for kept, share in tried.items()}}
    return Found(pruned, {"latency": seen}, f", {tried[best]:.0%} of the latency ({latency.how})")
