"""INT8 weights for TFLite by litert-quantizer, with activations that are quantized as the file runs, or in float."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from edgekd.errors import MissingExtraError
from edgekd.quantizers.products import Dense
from edgekd.quantizers.tflite_static import as_statistics, calls, kept_in_float, read

EVERYWHERE = ".*"


def quantize(
    source: Path,
    target: Path,
    mode: str,
    *,
    per_channel: bool = True,
    keep_float: Collection[str] = (),
    fixed: Sequence[Dense] = (),
) -> None:
    """Write the float file ``source`` with INT8 weights, which have a scale for each output channel, or for all.

    With the mode 'dynamic' XNNPACK quantizes each row of activations by itself, so that the outliers of one token don't
    cost the others. With 'weight-only' all is computed in float: a quarter of the size, and no faster. What ``fixed``
    products read and write gets the ranges that they saw ('static').

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
    scopes = _scopes(source) if fixed else {}
    for each in fixed:
        manager.add_static_config(
            scopes[each.call.name],
            qtyping.TFLOperationName.FULLY_CONNECTED,
            activation_num_bits=8,
            weight_num_bits=8,
            weight_granularity=granularity,
        )
    kept_in_float(manager, source, keep_float)
    task: Any = quantizer.Quantizer(str(source), manager.get_quantization_recipe())
    made = task.quantize(_ranges(source, fixed), enable_progress_report=False)
    target.write_bytes(made.quantized_model)


def _scopes(source: Path) -> dict[str, str]:
    """By which litert-quantizer's recipes find an operator, by its name."""
    return {each.name: f"^{re.escape(each.scope)}$" for each in calls(read(source))}


def _ranges(source: Path, fixed: Sequence[Dense]) -> dict[str, Any] | None:
    """What litert-quantizer takes for the ranges of the tensors that ``fixed`` products read and write."""
    known = {name: found for each in fixed for name, found in each.ranges.items()}
    if not known:
        return None
    ranks = {
        each.name.decode(): len(each.shape) for each in read(source).subgraphs[0].tensors if each.shape is not None
    }
    return {name: as_statistics(ranks[name], found) for name, found in known.items()}
