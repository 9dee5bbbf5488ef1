"""Make a student out of the teacher: some of its layers, narrower if asked for, before any training."""

from __future__ import annotations

import numpy as np

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES = ((Kind.TORCH,), (Kind.TOKENIZER,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "transformers")
READS_DATA = True
PCA_ROWS = 20_000


class Config(Frozen):
    """What is kept of the teacher."""

    layers: int | tuple[int, ...] | dict[str, int]
    hidden: int | None = None
    feed_forward: int | None = None
    output_width: int | None = None


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Cut the teacher down; a narrower output starts as the principal components of the teacher's vectors."""
    import torch

    from edgekd.models import loading, smaller
    from edgekd.models.cached_outputs import CachedOutputs
    from edgekd.stages.trim_vocabulary import ids_of

    teacher, spec = loading.load(inputs[0].path)
    tokenizer = inputs[1].facts
    sizes = smaller.Sizes(
        layers=config.layers,
        hidden=config.hidden,
        feed_forward=config.feed_forward,
        vocabulary=ids_of(tokenizer["kept"]) if "kept" in tokenizer else None,
        width=config.output_width,
    )
    vectors = None
    if len(inputs) > 2:
        cached = CachedOutputs.open(inputs[2].path, inputs[2].facts)
        vectors = torch.from_numpy(cached.fit(0, np.arange(min(cached.fitted, PCA_ROWS))))
    torch.manual_seed(context.seed)
    module, spec = smaller.smaller(teacher, spec, sizes, vectors)
    parameters = sum(tensor.numel() for tensor in module.parameters())
    facts = {"parameters": parameters, "summary": f"{parameters / 1e6:,.1f} M weights"}
    return Product(loading.save(module, spec, context.scratch / "student.safetensors"), facts)
