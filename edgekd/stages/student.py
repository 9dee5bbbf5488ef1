"""The student before any training: its architecture with seeded weights."""

from __future__ import annotations

from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 2
CONSUMES = ((Kind.TOKENIZER,),)  # of a model that takes texts
PRODUCES = Kind.TORCH
LIBRARIES = ("torch",)
READS_DATA = True


class Config(Frozen):
    """What to build."""

    model: str  # 'module:function'
    options: dict[str, Any]
    code_sha256: str


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Build the module with weights drawn from the seed."""
    import torch

    from edgekd.models import loading, predicting

    torch.manual_seed(context.seed)
    spec = loading.ModelSpec(config.model, config.options)
    module = loading.build(spec, "[student] model")
    predicting.check_outputs(predicting.TorchModel(module.eval()), context.task(inputs), "student")
    parameters = sum(tensor.numel() for tensor in module.parameters())
    return Product(
        loading.save(module, spec, context.scratch / "student.safetensors"),
        {"parameters": parameters, "summary": f"{parameters / 1e3:,.0f} k weights"},
    )
