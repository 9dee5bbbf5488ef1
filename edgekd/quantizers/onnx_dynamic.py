"""Dynamic INT8 by onnxruntime's quantizer."""

from __future__ import annotations

from pathlib import Path

METHODS = ("dynamic",)


def quantize(source: Path, target: Path, method: str, isa: str) -> None:
    """Write ``source`` with INT8 weights, a scale for each channel, and activations quantized as it runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    del method
    quantize_dynamic(source, target, per_channel=True, reduce_range=isa == "x86", weight_type=QuantType.QInt8)
