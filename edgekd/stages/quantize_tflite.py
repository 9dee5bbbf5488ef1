"""INT8 by litert-quantizer: static for images (by the calibration set), dynamic for texts; float in and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.errors import MissingExtraError
from edgekd.runtimes.feeding import single_rows
from edgekd.runtimes.tflite import Runner
from edgekd.stages import calibration
from edgekd.stages.base import Context
from edgekd.stages.quantizing import QuantizeConfig, Recipe, choose, recipes_for
from edgekd.store import Product
from edgekd.targets.isa import Isa
from edgekd.tasks.base import MASK, Arrays

VERSION = 3
CONSUMES = ((Kind.TFLITE,), (Kind.CALIBRATION,))
PRODUCES = Kind.TFLITE
LIBRARIES = ("litert-quantizer", "ai-edge-litert", "numpy")
READS_DATA = False
METHODS = ("min-max", "moving-average", "mse")


class Config(QuantizeConfig):
    """Options of ``use = "quantize"`` as litert-quantizer realises them."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write ``model.tflite`` in INT8, by the best method or by the one that is named."""
    from edgekd.models import quiet

    rows = calibration.part(inputs[1], "calibration")
    with quiet.frameworks(), quiet.native_stderr():
        known = _for_texts(inputs[0].path) if MASK in rows else _static(inputs[0].path, rows)
        return choose(recipes_for(config, known, "tflite"), Runner, inputs, config, context)


def _for_texts(source: Path) -> Sequence[Recipe]:
    """Transformers lose too much to fixed ranges: their activations are quantized as they come."""
    from edgekd.quantizers import tflite_dynamic

    def dynamic(target: Path, isa: Isa) -> None:
        tflite_dynamic.quantize(source, target, "dynamic", isa)

    return [Recipe("dynamic", "dynamic", dynamic)]


def _static(source: Path, rows: Arrays) -> Sequence[Recipe]:
    def recipe(method: str) -> Recipe:
        return Recipe(method, "static", lambda target, _isa: quantize(source, rows, method, target))

    return [recipe(method) for method in METHODS]


def quantize(source: Path, rows: Arrays, method: str, target: Path) -> None:
    """Quantize ``source`` into ``target``.

    'min-max' takes each tensor's extremes over the calibration set; 'moving-average' smooths them image by image
    and so clips; 'mse' takes the extremes for activations and, for each weight channel, the scale with the least
    squared error.
    """
    try:
        from litert_quantizer import calibrator, quantizer
        from litert_quantizer.utils import qsv_utils
    except ImportError:
        raise MissingExtraError("litert-quantizer", "tflite", "INT8 for TFLite") from None

    manager = _recipe(weights_by_error=method == "mse")
    update = qsv_utils.moving_average_update if method == "moving-average" else qsv_utils.min_max_update
    measured = calibrator.Calibrator(str(source), num_threads=1, qsv_update_func=update)
    runner = Runner(source, 1)
    feeds = [runner.signature_feed(row) for row in single_rows([rows])]
    measured.calibrate({"serving_default": feeds}, manager)
    task = quantizer.Quantizer(str(source), manager.get_quantization_recipe())
    task.quantize(measured.get_model_qsvs(), enable_progress_report=False).export_model(str(target))


def _recipe(*, weights_by_error: bool) -> Any:
    from litert_quantizer import algorithm_manager, qtyping, recipe_manager

    operations, algorithms = qtyping.TFLOperationName, algorithm_manager.AlgorithmName
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(
        regex=".*", operation_name=operations.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
    )
    if weights_by_error:
        for operation in (operations.CONV_2D, operations.DEPTHWISE_CONV_2D, operations.FULLY_CONNECTED):
            manager.add_static_config(
                regex=".*",
                operation_name=operation,
                activation_num_bits=8,
                weight_num_bits=8,
                algorithm_key=algorithms.MSE,
            )
    for operation in (operations.INPUT, operations.OUTPUT):
        manager.add_quantization_config(regex=".*", operation_name=operation, algorithm_key=algorithms.NO_QUANTIZE)
    return manager
