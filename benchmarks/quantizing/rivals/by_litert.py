"""litert-quantizer of a TFLite file.

Default: its recipes static_wi8_ai8, and for texts dynamic_wi8_afp32. Best: extremes of all rows as ranges, in place of
its moving average; for texts static fully connected layers with those ranges, all else as in the default.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from quantizing.rivals.given import Given, read

SIGNATURE = "serving_default"
EVERYWHERE = ".*"


def main(given: Given) -> None:
    quantizer, recipe = (import_module(f"litert_quantizer.{name}") for name in ("quantizer", "recipe"))
    chosen: Any = recipe.static_wi8_ai8()
    if given.is_text:
        chosen = static_layers() if given.best else recipe.dynamic_wi8_afp32()
    task = quantizer.Quantizer(str(given.model), chosen)
    ranges = None
    if not given.is_text and not given.best:
        ranges = task.calibrate({SIGNATURE: given.rows})
    elif given.best:
        ranges = extremes(given, chosen)
    task.quantize(ranges, enable_progress_report=False).export_model(str(given.target))


def extremes(given: Given, chosen: Any) -> Any:
    """The smallest and largest value of each tensor over all rows."""
    calibrator, recipe_manager = (
        import_module(f"litert_quantizer.{name}") for name in ("calibrator", "recipe_manager")
    )
    update = import_module("litert_quantizer.utils.qsv_utils").min_max_update
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(chosen)
    found = calibrator.Calibrator(str(given.model), num_threads=1, qsv_update_func=update)
    found.calibrate({SIGNATURE: given.rows}, manager)
    return found.get_model_qsvs()


def static_layers() -> Any:
    """INT8 activations with fixed ranges in fully connected layers; tables by their weights."""
    manager = import_module("litert_quantizer.recipe_manager").RecipeManager()
    names = import_module("litert_quantizer.qtyping").TFLOperationName
    manager.add_dynamic_config(EVERYWHERE, names.EMBEDDING_LOOKUP, num_bits=8)
    manager.add_static_config(EVERYWHERE, names.FULLY_CONNECTED, activation_num_bits=8, weight_num_bits=8)
    return manager.get_quantization_recipe()


if __name__ == "__main__":
    main(read())
