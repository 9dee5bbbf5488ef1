"""INT8 by onnxruntime's quantizer: static for images (QDQ, ranges from the calibration set), dynamic for texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.runtimes.feeding import single_rows
from edgekd.runtimes.onnxruntime import Runner
from edgekd.stages import calibration
from edgekd.stages.base import Context
from edgekd.stages.quantizing import QuantizeConfig, Recipe, choose, recipes_for
from edgekd.store import Product
from edgekd.targets.isa import Isa
from edgekd.tasks.base import MASK, Arrays

VERSION = 4
CONSUMES = ((Kind.ONNX,), (Kind.CALIBRATION,))
PRODUCES = Kind.ONNX
LIBRARIES = ("onnx", "onnxruntime", "numpy")
READS_DATA = False
METHODS = ("min-max", "percentile", "entropy")


class Config(QuantizeConfig):
    """Options of ``use = "quantize"`` as onnxruntime realises them."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write ``model.onnx`` in INT8, by the best method or by the one that is named."""
    from edgekd.models import quiet

    rows = calibration.part(inputs[1], "calibration")
    with quiet.frameworks():
        source = inputs[0].path
        known = _for_texts(source, rows) if MASK in rows else _static(source, rows, context)
        made = choose(recipes_for(config, known, "onnxruntime"), Runner, inputs, config, context)
    return Product(made.path, {**made.facts, "isa": config.isa})


def _for_texts(source: Path, rows: Arrays) -> Sequence[Recipe]:
    """Transformers lose too much to fixed ranges: their activations are quantized as they come.

    'smoothed' first takes the outliers out that the calibration set shows, which changes nothing in float.
    """
    from edgekd.quantizers import onnx_dynamic, onnx_outliers

    def smoothed(target: Path, isa: Isa) -> None:
        prepared = target.with_name("without-outliers.onnx")
        onnx_outliers.smooth(source, prepared, rows)
        onnx_dynamic.quantize(prepared, target, "dynamic", isa)

    def dynamic(target: Path, isa: Isa) -> None:
        onnx_dynamic.quantize(source, target, "dynamic", isa)

    return [Recipe("smoothed", "dynamic", smoothed), Recipe("dynamic", "dynamic", dynamic)]


def _static(source: Path, rows: Arrays, context: Context) -> Sequence[Recipe]:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = context.scratch / "prepared.onnx"
    quant_pre_process(source, prepared)
    return [Recipe(name, "static", partial(quantize, prepared, rows, name)) for name in METHODS]


def quantize(source: Path, rows: Arrays, method: str, target: Path, isa: Isa) -> None:
    """Quantize ``source`` into ``target``.

    Arm's kernels take signed activations. x86's take unsigned ones, and without VNNI add pairs of products in
    16 bits, where full-range weights saturate: there the weights keep to 7 bits
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    calibrators = {
        "min-max": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    quantize_static(
        source,
        target,
        _reader(source, rows),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8 if isa == "arm64" else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=isa == "x86",
        calibrate_method=calibrators[method],
    )


def _reader(source: Path, rows: Arrays) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    runner = Runner(source, 1)

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        """One row at a time, as the model takes them."""

        def __init__(self) -> None:
            self._rows = single_rows([rows])

        def get_next(self) -> Arrays | None:
            """The next feed, or None."""
            row = next(self._rows, None)
            return None if row is None else runner.feed(row)

    return Reader()
