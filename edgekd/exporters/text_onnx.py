"""A text model as ONNX: one text of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EXAMPLE_TOKENS = 16  # the exporter runs the model once; the length itself stays free


def export(module: Any, path: Path, output: str) -> None:
    """Write ``module`` with the inputs input_ids and attention_mask (1, length) int64, and one output (1, width)."""
    import torch

    ids = torch.ones(1, EXAMPLE_TOKENS, dtype=torch.int64)
    length = torch.export.Dim("length", min=2, max=1 << 15)
    program = torch.onnx.export(
        module,
        (ids, torch.ones_like(ids)),
        dynamo=True,
        verbose=False,
        input_names=["input_ids", "attention_mask"],
        output_names=[output],
        dynamic_shapes=({1: length}, {1: length}),
    )
    program.save(path)  # type: ignore[union-attr]  # None only without dynamo
