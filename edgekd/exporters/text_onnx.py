"""A text model as ONNX: one text of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OPSET = 20  # the first that has GELU as one operator
EXAMPLE_TOKENS = 16  # the exporter runs the model once; the length itself stays free


def export(module: Any, path: Path, output: str) -> None:
    """Write ``module`` with the inputs input_ids and attention_mask (1, length) int64, and one output (1, width).

    ``module`` is called with both, int64. The batch is one text: a phone embeds one at a time, and without other texts
    there is no padding to compute for. ``output`` is the output's name, whatever tensors inside are called.
    """
    import torch

    ids = torch.ones(1, EXAMPLE_TOKENS, dtype=torch.int64)
    length = torch.export.Dim("length", min=2, max=1 << 15)
    program = torch.onnx.export(
        module,
        (ids, torch.ones_like(ids)),  # two tensors: of one that is given twice the exporter makes one input
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=["input_ids", "attention_mask"],
        dynamic_shapes=({1: length}, {1: length}),
    )
    if program is None:  # only without dynamo
        raise TypeError("found no program, expected one from torch.onnx.export")
    _name_output(program.model.graph, output)
    program.save(path)


def _name_output(graph: Any, name: str) -> None:
    """Name the only output. The exporter lets its name stand twice if a tensor inside has the same one."""
    for node in graph:
        for value in node.outputs:
            if value.name == name:
                value.name = f"{name}_inside"
    graph.outputs[0].name = name
