"""Load the user's teacher, check that it fits the data, and keep it as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 3
CONSUMES = ((Kind.TOKENIZER,),)  # of a model that takes texts
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "safetensors")
READS_DATA = True


class Config(Frozen):
    """What to build, and the weights; the digests make a change of either a new artifact."""

    model: str  # 'module:function'
    options: dict[str, Any]
    weights: Path
    weights_sha256: str
    code_sha256: str


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Build the module, load its weights, and refuse a teacher that doesn't know the data's classes."""
    from edgekd.models import loading, predicting

    spec = loading.ModelSpec(config.model, config.options)
    module = loading.build(spec, "[teacher] model")
    state = loading.read_weights(config.weights, "[teacher] weights")
    loading.load_into(module, state, "[teacher] weights")
    predicting.check_outputs(predicting.TorchModel(module.eval()), context.task(inputs), "teacher")
    parameters = sum(tensor.numel() for tensor in module.parameters())
    return Product(
        loading.save(module, spec, context.scratch / "teacher.safetensors"),
        {"parameters": parameters, "summary": f"{parameters / 1e3:,.0f} k weights"},
    )
