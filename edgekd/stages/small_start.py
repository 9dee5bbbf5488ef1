"""A student that is small from the start: the untrained one, cut to as much work as a pruned one has."""

from __future__ import annotations

from typing import Literal

from edgekd.artifact import Artifact, Kind
from edgekd.stages import prune
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES = ((Kind.TORCH,), (Kind.TORCH,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "torch-pruning", "numpy")
READS_DATA = True


class Config(Frozen):
    """How the pruned one was made."""

    round_to: int = 8
    structures: tuple[Literal["neurons", "heads", "layers"], ...] | None = None


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Cut the first of ``inputs`` to the work of the second: the same share of every layer, the largest weights stay.

    Of random weights any would do as well; of a teacher's layers these are the better half.
    """
    from edgekd.models import loading

    work = inputs[1].facts["macs_after"]
    cutter = prune.cutter(inputs, prune.Config(epochs=1, macs_kept=0.5), context)
    mixed = config.structures is not None and len(config.structures) > 1 and "layers" in config.structures
    wanted = prune.Config(
        epochs=1,
        macs_kept=(work + 0.5) / cutter.macs,
        round_to=config.round_to,
        structures=None if mixed else config.structures,
    )
    small = cutter.cut(wanted)
    path = loading.save(small.module, small.spec, context.scratch / "student.safetensors")
    said = f"{small.macs / work:.0%} of the pruned student's multiply-accumulates{small.said}"
    return Product(path, {"macs": small.macs, "macs_pruned": work, **small.facts, "summary": said})
