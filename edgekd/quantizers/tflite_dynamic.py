"""Dynamic INT8 of text encoders for TFLite, by litert-quantizer."""

from __future__ import annotations

from pathlib import Path

from edgekd.errors import MissingExtraError

METHODS = ("dynamic",)


def quantize(source: Path, target: Path, method: str, isa: str) -> None:
    """Write the float file ``source`` with INT8 weights, and activations that are quantized as it runs.

    Weights have a scale for each output channel, and XNNPACK quantizes each row of activations by itself, so that the
    outliers of one token don't cost the others.

    Raises:
        MissingExtraError: litert-quantizer is not installed.

    """
    try:
        from litert_quantizer import quantizer, recipe
    except ImportError:
        raise MissingExtraError("litert-quantizer", "tflite", "INT8 for TFLite") from None

    del method, isa
    task = quantizer.Quantizer(str(source), recipe.dynamic_wi8_afp32())
    task.quantize(None, enable_progress_report=False).export_model(str(target))
