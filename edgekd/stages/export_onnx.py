"""Export to ONNX by torch's own exporter, and have onnx check the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context, NoConfig
from edgekd.store import Product
from edgekd.tasks.base import MASK, Arrays, Outputs, Task

VERSION = 3
CONSUMES = ((Kind.TORCH,),)
PRODUCES = Kind.ONNX
LIBRARIES = ("torch", "onnx", "onnxscript")
READS_DATA = True
Config = NoConfig


def run(inputs: tuple[Artifact, ...], _config: NoConfig, context: Context) -> Product:
    """Write ``model.onnx`` for one row of the task; output 'logits' (1, classes) or 'sentence_embedding' (1, width)."""
    import onnx

    from edgekd.models import loading

    module, _ = loading.load(inputs[0].path)
    task, path = context.task(inputs), context.scratch / "model.onnx"
    write(module, task, path)
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    facts = {"opset": opset, "ir_version": model.ir_version, "nodes": len(model.graph.node)}
    return Product(path, {**facts, "summary": f"opset {opset}, {len(model.graph.node)} nodes"})


def write(module: Any, task: Task, path: Path) -> None:
    """Write ``module`` for one row of ``task``."""
    import onnx

    from edgekd.exporters.traces import without_traces
    from edgekd.models import quiet

    output = "logits" if task.outputs is Outputs.LOGITS else "sentence_embedding"
    with quiet.frameworks():
        _export(module, task.representative(), output, path)
    onnx.save(without_traces(onnx.load(path)), path)


def _export(module: Any, example: Arrays, output: str, path: Path) -> None:
    """Texts keep a free length; every other input has the size of ``example``."""
    import torch

    from edgekd.models.running import tensors

    if MASK in example:
        from edgekd.exporters import text_onnx

        text_onnx.export(module, path, output)
        return
    program = torch.onnx.export(
        module,
        tuple(each.contiguous() for each in tensors(example)),
        dynamo=True,
        verbose=False,
        input_names=list(example),
        output_names=[output],
    )
    program.save(path)  # type: ignore[union-attr]  # None only without dynamo
