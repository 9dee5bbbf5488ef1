"""INT8 for onnxruntime: static for images (QDQ, by the calibration set), dynamic for texts, or weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.runtimes.onnxruntime import Runner
from edgekd.stages import calibration
from edgekd.stages.base import Context
from edgekd.stages.quantizing import QuantizeConfig, Recipe, choose, recipes_for
from edgekd.stages.static_ranges import Observed
from edgekd.store import Product
from edgekd.targets.isa import Isa
from edgekd.tasks.base import MASK, Arrays

VERSION = 4
CONSUMES = ((Kind.ONNX,), (Kind.CALIBRATION,))
PRODUCES = Kind.ONNX
LIBRARIES = ("onnx", "onnxruntime", "numpy")
READS_DATA = False


class Config(QuantizeConfig):
    """Options of ``use = "quantize"`` as onnxruntime realises them."""


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write ``model.onnx`` in INT8, by the fastest recipe that loses little enough or by the one that is named."""
    from edgekd.models import quiet
    from edgekd.quantizers.onnx_editing import refuse_unfit

    source, rows = inputs[0].path, calibration.part(inputs[1], "calibration")
    facts: dict[str, Any] = {"isa": config.isa}
    refuse_unfit(source)
    with quiet.frameworks():
        if MASK in rows:
            known = _dynamic(source, rows)
        else:
            known, more = _static(source, rows, config, context)
            facts |= more
        recipes = recipes_for(config, [*known, _weight_only(source, config)], "onnxruntime")
        made = choose(recipes, Runner, inputs, config, context)
    return Product(made.path, {**made.facts, **facts})


def _dynamic(source: Path, rows: Arrays) -> list[Recipe]:
    """Transformers lose too much to fixed ranges: their activations are quantized as they come.

    'smoothed' first takes the outliers out that the calibration set shows, which changes nothing in float.
    """
    from edgekd.quantizers import onnx_dynamic, onnx_outliers

    def smoothed(target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
        prepared = target.with_name("without-outliers.onnx")
        onnx_outliers.smooth(source, prepared, rows)
        onnx_dynamic.quantize(prepared, target, isa, keep_float)

    def dynamic(target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
        onnx_dynamic.quantize(source, target, isa, keep_float)

    return [Recipe("smoothed", "dynamic", smoothed), Recipe("dynamic", "dynamic", dynamic)]


def _static(source: Path, rows: Arrays, config: Config, context: Context) -> tuple[list[Recipe], dict[str, Any]]:
    from edgekd.quantizers import onnx_static, sensitivity

    prepared = context.scratch / "prepared.onnx"
    onnx_static.prepare(source, prepared)
    observed = Observed.of(*onnx_static.observe_halves(prepared, rows))

    def build(method: str, target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
        ranges, per_channel = observed.ranges(method), config.granularity == "per-channel"
        onnx_static.quantize(prepared, target, ranges, isa=isa, per_channel=per_channel, keep_float=keep_float)

    def order(quantized: Path) -> Sequence[str]:
        return sensitivity.of_onnx(prepared, quantized, rows)

    recipes = [Recipe(method, "static", partial(build, method), order) for method in observed.METHODS]
    return recipes, {"left_float": onnx_static.left_float(prepared), "unstable": observed.unstable()}


def _weight_only(source: Path, config: Config) -> Recipe:
    from edgekd.quantizers import onnx_weights

    def build(target: Path, _isa: Isa, keep_float: Sequence[str]) -> None:
        onnx_weights.quantize(source, target, keep_float, per_channel=config.granularity == "per-channel")

    return Recipe("weight-only", "weight-only", build, last_resort=True)
