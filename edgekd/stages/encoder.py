"""Load a transformers or sentence-transformers model, and keep it as safetensors with all that rebuilds it."""

from __future__ import annotations

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Outputs
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES = ((Kind.TOKENIZER,),)
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "transformers", "safetensors")
READS_DATA = True


class Config(Frozen):
    """Which model, and the digest of its files."""

    source: str
    sha256: str
    trust_remote_code: bool = False
    noun: str = "teacher"


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Build the module and refuse one that doesn't fit the task."""
    import torch

    from edgekd.models import encoder_source, loading, predicting

    torch.manual_seed(context.seed)
    task = context.task(inputs)
    classes = len(task.classes) if task.outputs is Outputs.LOGITS else None
    module, spec, _ = encoder_source.from_folder(
        config.source, labels=classes, trust_remote_code=config.trust_remote_code
    )
    predicting.check_outputs(predicting.TorchModel(module.eval()), task, config.noun)
    parameters = sum(tensor.numel() for tensor in module.parameters())
    path = loading.save(module, spec, context.scratch / f"{config.noun}.safetensors")
    return Product(path, {"parameters": parameters, "summary": f"{parameters / 1e6:,.1f} M weights"})
