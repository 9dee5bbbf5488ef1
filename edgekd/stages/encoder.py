"""Load a transformers or sentence-transformers model, and keep it as safetensors with all that rebuilds it.

A student can have its vocabulary trimmed and a linear layer behind it, by which it starts near the teacher's vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Outputs, Task
from edgekd.toml_file import Frozen

if TYPE_CHECKING:
    from edgekd.models.loading import ModelSpec

VERSION = 2
CONSUMES = ((Kind.TOKENIZER,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "transformers", "safetensors")
READS_DATA = True
FITTED_ROWS = 20_000  # texts by which the linear layer is fitted


class Config(Frozen):
    """Which model, and the digest of its files."""

    source: str
    sha256: str
    trust_remote_code: bool = False
    noun: str = "teacher"
    output_width: Annotated[int, Field(ge=1)] | None = None  # of a student's vectors


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Build the module and refuse one that doesn't fit the task."""
    import torch

    from edgekd.models import encoder_source, loading, predicting

    torch.set_num_threads(context.threads)
    torch.manual_seed(context.seed)
    task = context.task(inputs)
    classes = len(task.classes) if task.outputs is Outputs.LOGITS else None
    module, spec, _ = encoder_source.from_folder(
        config.source, labels=classes, trust_remote_code=config.trust_remote_code
    )
    module, spec = _trimmed(module, spec, inputs)
    facts: dict[str, Any] = {}
    if config.output_width is not None:
        module, spec, left = _fitted(module, spec, config.output_width, inputs, task, context.seed)
        facts["unexplained"] = left
    predicting.check_outputs(predicting.TorchModel(module.eval()), task, config.noun)
    facts["parameters"] = sum(tensor.numel() for tensor in module.parameters())
    path = loading.save(module, spec, context.scratch / f"{config.noun}.safetensors")
    return Product(path, {**facts, "summary": f"{facts['parameters'] / 1e6:,.1f} M weights"})


def _trimmed(module: Any, spec: ModelSpec, inputs: tuple[Artifact, ...]) -> tuple[Any, ModelSpec]:
    """The same with the embeddings of those tokens alone that its tokenizer kept."""
    from edgekd.models import smaller
    from edgekd.stages.trim_vocabulary import ids_of

    kept = next((each.facts["kept"] for each in inputs if "kept" in each.facts), None)
    return (module, spec) if kept is None else smaller.smaller(module, spec, smaller.Sizes(vocabulary=ids_of(kept)))


def _fitted(
    module: Any, spec: ModelSpec, width: int, inputs: tuple[Artifact, ...], task: Task, seed: int
) -> tuple[Any, ModelSpec, float]:
    """The same with a linear layer to ``width``, and the share of what the layer should give that it doesn't."""
    import torch

    from edgekd.models import heads
    from edgekd.models.cached_outputs import CachedOutputs
    from edgekd.models.running import outputs_of

    stored = next(each for each in inputs if each.kind is Kind.OUTPUTS)
    cached = CachedOutputs.open(stored.path, stored.facts)
    places = np.unique(np.linspace(0, cached.fitted - 1, FITTED_ROWS, dtype=np.int64))
    own = torch.from_numpy(outputs_of(module, task, "train", task.rows(seed).fit[places]))
    head, left = heads.fitted_head(own, torch.from_numpy(cached.fit(0, places)), width)
    return (*heads.with_head(module, spec, head), left)
