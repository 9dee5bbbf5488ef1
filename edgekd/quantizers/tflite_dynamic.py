"""INT8 weights for TFLite by litert-quantizer, with activations that are quantized as the file runs, or in float."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgekd.errors import MissingExtraError
from edgekd.quantizers.tflite_static import kept_in_float

EVERYWHERE = ".*"


def quantize(
    source: Path, target: Path, mode: str, *, per_channel: bool = True, keep_float: Collection[str] = ()
) -> None:
    """Write the float file ``source`` with INT8 weights, which have a scale for each output channel, or for all.

    With the mode 'dynamic' XNNPACK quantizes each row of activations by itself, so that the outliers of one token don't
    cost the others. With 'weight-only' all is computed in float: a quarter of the size, and no faster.

    Raises:
        BadInputError: ``keep_float`` names what the file doesn't have.
        MissingExtraError: litert-quantizer is not installed.

    """
    try:
        from litert_quantizer import qtyping, quantizer, recipe_manager
    except ImportError:
        raise MissingExtraError("litert-quantizer", "tflite", "INT8 for TFLite") from None

    manager = recipe_manager.RecipeManager()
    granularity = qtyping.QuantGranularity.CHANNELWISE if per_channel else qtyping.QuantGranularity.TENSORWISE
    add = manager.add_dynamic_config if mode == "dynamic" else manager.add_weight_only_config
    add(EVERYWHERE, qtyping.TFLOperationName.ALL_SUPPORTED, num_bits=8, granularity=granularity)
    kept_in_float(manager, source, keep_float)
    task: Any = quantizer.Quantizer(str(source), manager.get_quantization_recipe())
    task.quantize(None, enable_progress_report=False).export_model(str(target))
