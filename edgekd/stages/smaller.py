"""Make a student out of the teacher: some of its layers, narrower if asked for, before any training."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 2
CONSUMES = ((Kind.TORCH,), (Kind.TOKENIZER,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "transformers")
READS_DATA = True
PCA_ROWS = 20_000


class Config(Frozen):
    """What is kept of the teacher."""

    layers: int | tuple[int, ...] | dict[str, int]
    hidden: int | None = None
    feed_forward: int | tuple[int, ...] | None = None
    output_width: int | None = None
    fit_texts: int = 0


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Cut the teacher down; a narrower output starts as the principal components of the teacher's vectors."""
    import torch

    from edgekd.models import alignment, loading, smaller
    from edgekd.stages.trim_vocabulary import ids_of

    teacher, spec = loading.load(inputs[0].path)
    kept = ids_of(inputs[1].facts["kept"]) if "kept" in inputs[1].facts else None
    # the channels of a narrower student are not the teacher's
    texts = [] if config.hidden is not None else _texts(inputs, kept, config.fit_texts, context)
    fits = alignment.enough(teacher, texts)
    sizes = smaller.Sizes(
        layers=config.layers,
        hidden=config.hidden,
        feed_forward=None if fits else config.feed_forward,
        vocabulary=kept,
        width=config.output_width,
    )
    torch.manual_seed(context.seed)
    module, spec = smaller.smaller(teacher, spec, sizes, _vectors(inputs[2:]))
    left: list[float] = []
    if fits:
        spec, left = alignment.fitted((module, spec), teacher, config.layers, texts, config.feed_forward)
    parameters = sum(tensor.numel() for tensor in module.parameters())
    facts = {"parameters": parameters, "unexplained": left, "summary": f"{parameters / 1e6:,.1f} M weights"}
    return Product(loading.save(module, spec, context.scratch / "student.safetensors"), facts)


def _vectors(cached: tuple[Artifact, ...]) -> Any:
    """The teacher's of some texts, where there are any."""
    import torch

    from edgekd.models.cached_outputs import CachedOutputs

    if not cached:
        return None
    opened = CachedOutputs.open(cached[0].path, cached[0].facts)
    return torch.from_numpy(opened.fit(0, np.arange(min(opened.fitted, PCA_ROWS))))


def _texts(inputs: tuple[Artifact, ...], kept: Any, count: int, context: Context) -> Any:
    """Training texts, evenly spaced, in batches of like length: for the teacher, and with the student's token ids."""
    import torch

    from edgekd.models.running import batches, tensors

    task = context.task(inputs)
    rows = task.rows(context.seed).fit
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows)), dtype=np.int64)]
    made = []
    for chosen in batches(task, "train", rows):
        ids, *rest = tensors(task.inputs("train", rows[chosen]))
        theirs = ids if kept is None else torch.from_numpy(kept)[ids]
        made.append(((theirs, *rest), (ids, *rest)))
    return made
