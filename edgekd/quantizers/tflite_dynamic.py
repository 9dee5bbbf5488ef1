"""Dynamic INT8 by litert-quantizer."""

from __future__ import annotations

from pathlib import Path

METHODS = ("dynamic",)


def quantize(source: Path, target: Path, method: str, isa: str) -> None:
    """Write ``source`` with INT8 weights, a scale for each channel, and activations quantized row by row as it runs."""
    from litert_quantizer import quantizer, recipe

    del method, isa
    task = quantizer.Quantizer(str(source), recipe.dynamic_wi8_afp32())
    task.quantize(None, enable_progress_report=False).export_model(str(target))
