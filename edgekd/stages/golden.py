"""What an app needs of the INT8 files: themselves with metadata, golden vectors, labels, tokenizer, facts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.bundle.manifest import Licence
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES = ((Kind.ONNX, Kind.TFLITE), (Kind.OUTPUTS,), (Kind.TOKENIZER,))
PRODUCES = Kind.GOLDEN
LIBRARIES = ("numpy", "pillow", "tokenizers", "onnx", "onnxruntime", "ai-edge-litert")
READS_DATA = True
LEAST = 16


class Config(Frozen):
    """What the bundle says and no artifact knows."""

    name: str
    device: str
    task: str
    isa: str
    licences: tuple[Licence, ...]
    machine: str  # golden outputs are this machine's
    resized: bool = False  # images were brought to their size
    temperature: bool = False  # one was fitted to each file
    in_graph: bool = False  # the ONNX file takes an image's bytes
    items: Annotated[int, Field(ge=1)] = LEAST


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write one zip: the files of the bundle by their places, and the draft of its manifest."""
    from edgekd.bundle import archive, licences
    from edgekd.bundle.draft import Asked, Draft

    task = context.task(inputs)
    models = {f"model{each.path.suffix}": each for each in inputs if each.kind in (Kind.ONNX, Kind.TFLITE)}
    scored = [each for each in inputs if each.kind is Kind.OUTPUTS]  # of the same files, in the same order
    fitted = (
        {name: float(each.facts["temperature"]) for name, each in zip(models, scored, strict=True)}
        if (config.temperature)
        else {}
    )
    asked = Asked(
        **config.model_dump(exclude={"licences", "machine", "temperature"}),
        licences=licences.completed(config.licences, getattr(context.data.set, "licence", "")),
        made_on=config.machine,
        temperatures=fitted,
    )
    files = Draft(task, asked, context.seed, context.scratch).files({name: each.path for name, each in models.items()})
    path = context.scratch / "golden.zip"
    path.write_bytes(archive.packed(files))
    count = len([name for name in files if name.startswith("golden/raw/")])
    return Product(path, {"summary": f"{len(files)} files for the bundle, {count} of them raw test {task.row}s"})
