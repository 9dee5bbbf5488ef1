"""Make a student out of the teacher: some of its layers, narrower if asked for, before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Rows, Task
from edgekd.toml_file import Frozen

if TYPE_CHECKING:
    from edgekd.data.vocabulary import Ids

VERSION = 4
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
    heads: int | tuple[int, ...] | None = None
    output_width: int | None = None
    fit_texts: int = 0
    merged_below: int | None = None  # tokens that the texts use less often share a row with the nearest that stays


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Cut the teacher down; a narrower output starts as the principal components of the teacher's vectors."""
    import torch

    from edgekd.models import alignment, loading, smaller
    from edgekd.stages.trim_vocabulary import ids_of

    teacher, spec = loading.load(inputs[0].path)
    kept = ids_of(inputs[1].facts["kept"]) if "kept" in inputs[1].facts else None
    task, wanted = context.task(inputs), alignment.tokens_wanted(teacher)
    rows = _rows(task, config.fit_texts, wanted, context.seed)
    fits = len(rows) > 0 and config.hidden is None  # the channels of a narrower student are not the teacher's
    sizes = smaller.Sizes(
        layers=config.layers,
        hidden=config.hidden,
        feed_forward=config.feed_forward,
        heads=config.heads,
        vocabulary=kept,
        used=None if config.merged_below is None else _used(inputs[1].path, task, config.merged_below),
        width=config.output_width,
    )
    torch.manual_seed(context.seed)
    cut = replace(sizes, feed_forward=None, heads=None) if fits else sizes
    module, spec = smaller.smaller(teacher, spec, cut, _vectors(inputs[2:]))
    left: dict[str, list[float]] = {}
    if fits:
        spec, left = alignment.fitted((module, spec), teacher, sizes, _texts(task, rows, kept))
    parameters = sum(tensor.numel() for tensor in module.parameters())
    shared = f", {spec.options['rows']:,} rows for all tokens" if "rows" in spec.options else ""
    facts = {"parameters": parameters, "unexplained": left, "summary": f"{parameters / 1e6:,.1f} M weights{shared}"}
    return Product(loading.save(module, spec, context.scratch / "student.safetensors"), facts)


def _used(tokenizer: Path, task: Task, least: int) -> Ids:
    """The ids of special tokens, and of those that occur at least so often in the training texts."""
    from edgekd.data import vocabulary
    from edgekd.data.tokens import Tokenizer
    from edgekd.tasks.texts import TextTask

    if not isinstance(task, TextTask):
        raise TypeError(f"found the task {task.title!r}, which has no texts")
    whole = Tokenizer.load(tokenizer)
    often = np.flatnonzero(vocabulary.counts(whole, task.texts("train")) >= least)
    return np.union1d(often, sorted(vocabulary.special(whole)))


def _vectors(cached: tuple[Artifact, ...]) -> Any:
    """The teacher's of some texts, where there are any."""
    import torch

    from edgekd.models.cached_outputs import CachedOutputs

    if not cached:
        return None
    opened = CachedOutputs.open(cached[0].path, cached[0].facts)
    return torch.from_numpy(opened.fit(0, np.arange(min(opened.fitted, PCA_ROWS))))


def _rows(task: Task, count: int, tokens: range, seed: int) -> Rows:
    """Training rows, evenly spaced, with as many ``tokens`` as are wanted; none where there are too few."""
    fit = task.rows(seed).fit
    lengths = task.lengths("train", fit)
    if lengths is None:
        return fit[:0]
    most = min(count, len(fit), int(tokens.stop / max(lengths.mean(), 1)))
    places = np.linspace(0, len(fit) - 1, most, dtype=np.int64)
    return fit[places] if lengths[places].sum() >= tokens.start else fit[:0]


def _texts(task: Task, rows: Rows, kept: Any) -> Any:
    """Batches of like length: as the teacher takes them, and with the student's token ids."""
    import torch

    from edgekd.models.running import batches, tensors

    made = []
    for chosen in batches(task, "train", rows):
        ids, *rest = tensors(task.inputs("train", rows[chosen]))
        theirs = ids if kept is None else torch.from_numpy(kept)[ids]
        made.append(((theirs, *rest), (ids, *rest)))
    return made
