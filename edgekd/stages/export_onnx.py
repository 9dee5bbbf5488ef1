"""Export to ONNX by torch's own exporter, and have onnx check the file."""

from __future__ import annotations

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context, NoConfig
from edgekd.store import Product

VERSION = 1
CONSUMES = ((Kind.TORCH,),)
PRODUCES = Kind.ONNX
LIBRARIES = ("torch", "onnx", "onnxscript")
READS_DATA = True
Config = NoConfig


def run(inputs: tuple[Artifact, ...], _config: NoConfig, context: Context) -> Product:
    """Write ``model.onnx``: input 'image' (1, 3, H, W) float32, output 'logits' (1, classes)."""
    import onnx
    import torch

    from edgekd.models import loading, quiet

    module, _ = loading.load(inputs[0].path)
    path = context.scratch / "model.onnx"
    with quiet.frameworks():
        program = torch.onnx.export(
            module,
            (torch.zeros(1, 3, *context.data.set.shape()),),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=["logits"],
        )
        program.save(path)  # type: ignore[union-attr]  # None only without dynamo
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    facts = {"opset": opset, "ir_version": model.ir_version, "nodes": len(model.graph.node)}
    return Product(path, {**facts, "summary": f"opset {opset}, {len(model.graph.node)} nodes"})
