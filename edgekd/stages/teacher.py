"""Load the user's teacher, check that it fits the data, and keep it as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.data.dataset import DataSet
from edgekd.errors import BadInputError
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 2
CONSUMES: tuple[tuple[Kind, ...], ...] = ()
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


def run(_inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Build the module, load its weights, and refuse a teacher that doesn't know the data's classes."""
    from edgekd.models import loading

    spec = loading.ModelSpec(config.model, config.options)
    module = loading.build(spec, "[teacher] model")
    state = loading.read_weights(config.weights, "[teacher] weights")
    loading.load_into(module, state, "[teacher] weights")
    check_outputs(module.eval(), context.data.set, "teacher")
    parameters = sum(tensor.numel() for tensor in module.parameters())
    return Product(
        loading.save(module, spec, context.scratch / "teacher.safetensors"),
        {"parameters": parameters, "summary": f"{parameters / 1e3:,.0f} k weights"},
    )


def check_outputs(module: Any, data: DataSet, noun: str) -> None:
    """Run the first training image through ``module``.

    Raises:
        BadInputError: the module can't take the image, or its output isn't one logit a class.

    """
    import torch

    from edgekd.tasks import image_classification

    inputs = torch.from_numpy(image_classification.prepare(data.train.images[:1]))
    try:
        with torch.no_grad():
            logits = module(inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BadInputError(f"the {noun} can't take an input of shape {tuple(inputs.shape)}: {error}") from error
    if tuple(logits.shape) != (1, len(data.classes)):
        raise BadInputError(
            f"the {noun} gives outputs of shape {tuple(logits.shape)} for one image, "
            f"expected (1, {len(data.classes)}): data set {data.title!r} has {len(data.classes)} classes",
            f"use a {noun} that was trained on these classes",
        )
