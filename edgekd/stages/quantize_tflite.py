"""INT8 by litert-quantizer: static for images (by the calibration set), dynamic or static for texts, or weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

from edgekd.algorithms.ranges import Range
from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError
from edgekd.quantizers.products import Dense
from edgekd.runtimes.tflite import Runner
from edgekd.stages import calibration, learned_ranges
from edgekd.stages.base import Context
from edgekd.stages.quantizing import Io, QuantizeConfig, Recipe, choose, recipes_for
from edgekd.store import Product
from edgekd.targets.isa import Isa
from edgekd.tasks.base import MASK, Arrays

VERSION = 6
CONSUMES = ((Kind.TFLITE,), (Kind.CALIBRATION,))
PRODUCES = Kind.TFLITE
LIBRARIES = ("litert-quantizer", "ai-edge-litert", "numpy")
READS_DATA = False


class Config(QuantizeConfig):
    """Options of ``use = "quantize"`` as litert-quantizer realises them."""

    io: Io = "float"


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write ``model.tflite`` in INT8, by the fastest recipe that loses little enough or by the one that is named."""
    from edgekd.models import quiet
    from edgekd.quantizers.tflite_static import scale_and_zero_point

    source, rows = inputs[0].path, calibration.part(inputs[1], "calibration")
    facts: dict[str, Any] = {}
    with quiet.frameworks(), quiet.native_stderr():
        if MASK in rows:
            known = _of_texts(source, rows, config, context)
        else:
            known, facts = _static(inputs, rows, config, context)
        recipes = recipes_for(config, [*known, _weight_only(source, config)], "tflite")
        made = choose(recipes, Runner, inputs, config, context)
    return Product(made.path, {**made.facts, **facts, "ends": scale_and_zero_point(made.path)})


def _static(
    inputs: Sequence[Artifact], rows: Arrays, config: Config, context: Context
) -> tuple[list[Recipe], dict[str, Any]]:
    from edgekd.quantizers import sensitivity, tflite_static
    from edgekd.quantizers.tflite_layers import TfliteLayers
    from edgekd.stages.static_recipes import Format, Source, Static

    def write(source: Path, target: Path, ranges: Mapping[str, Range], _isa: Isa, keep_float: Sequence[str]) -> None:
        per_channel = config.granularity == "per-channel"
        tflite_static.quantize(source, target, ranges, per_channel=per_channel, keep_float=keep_float, io=config.io)

    source = Path(copyfile(inputs[0].path, context.scratch / "float.tflite"))
    learned, facts = learned_ranges.found(inputs, rows, partial(tflite_static.tensors, source))
    form = Format(tflite_static.observe_halves, write, sensitivity.of_tflite, TfliteLayers)
    static = Static(Source(source, rows, form, learned), config)
    return static.recipes(), {"left_float": tflite_static.left_float(source), **static.facts(), **facts}


def _of_texts(source: Path, rows: Arrays, config: Config, context: Context) -> list[Recipe]:
    """Dynamic or static, each also after the outliers that the calibration set shows are taken out."""
    from edgekd.quantizers import tflite_dynamic, tflite_outliers, tflite_products
    from edgekd.stages.encoder_recipes import Encoder, Format, Source

    if config.io != "float":
        raise BadInputError(
            f"quantize: found io = {config.io!r} with a text encoder, expected 'float': "
            "it takes token ids, and its last operators stay float"
        )

    def write(source: Path, target: Path, _isa: Isa, keep_float: Collection[str], fixed: Sequence[Dense]) -> None:
        per_channel = config.granularity == "per-channel"
        tflite_dynamic.quantize(source, target, "dynamic", per_channel=per_channel, keep_float=keep_float, fixed=fixed)

    form = Format(tflite_outliers.smooth, tflite_products.watch, write)
    return Encoder(Source(source, rows, form), config, context.scratch).recipes()


def _weight_only(source: Path, config: Config) -> Recipe:
    from edgekd.quantizers import tflite_dynamic

    def build(target: Path, _isa: Isa, keep_float: Sequence[str]) -> None:
        if config.io != "float":
            raise BadInputError(
                f"quantize: found io = {config.io!r} with the mode 'weight-only', expected 'static': "
                "only fixed ranges give whole numbers at a file's ends"
            )
        per_channel = config.granularity == "per-channel"
        tflite_dynamic.quantize(source, target, "weight-only", per_channel=per_channel, keep_float=keep_float)

    return Recipe("weight-only", "weight-only", build, last_resort=True)
