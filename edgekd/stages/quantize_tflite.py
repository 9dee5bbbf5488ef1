"""INT8 by litert-quantizer: static for images (by the calibration set), dynamic for texts, or weights alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

from edgekd.algorithms.ranges import Range
from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError
from edgekd.runtimes.tflite import Runner
from edgekd.stages import calibration, learned_ranges
from edgekd.stages.base import Context
from edgekd.stages.quantizing import Io, QuantizeConfig, Recipe, choose, recipes_for
from edgekd.store import Product
from edgekd.targets.isa import Isa
from edgekd.tasks.base import MASK, Arrays

VERSION = 4
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
            known = [_smoothed(source, rows, config), _by_weights("dynamic", source, config)]
        else:
            known, facts = _static(inputs, rows, config, context)
        recipes = recipes_for(config, [*known, _by_weights("weight-only", source, config)], "tflite")
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


def _smoothed(source: Path, rows: Arrays, config: Config) -> Recipe:
    """Dynamic, after the outliers that the calibration set shows are taken out, which changes nothing in float."""
    from edgekd.quantizers import tflite_outliers

    def build(target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
        prepared = target.with_name("without-outliers.tflite")
        tflite_outliers.smooth(source, prepared, rows)
        _by_weights("dynamic", prepared, config).build(target, isa, keep_float)

    return Recipe("smoothed", "dynamic", build)


def _by_weights(mode: str, source: Path, config: Config) -> Recipe:
    """Weights in INT8; activations quantized as the file runs ('dynamic'), or not at all."""
    from edgekd.quantizers import tflite_dynamic

    def build(target: Path, _isa: Isa, keep_float: Sequence[str]) -> None:
        if config.io != "float":
            raise BadInputError(
                f"quantize: found io = {config.io!r} with the mode {mode!r}, expected 'static': "
                "only fixed ranges give whole numbers at a file's ends"
            )
        tflite_dynamic.quantize(
            source, target, mode, per_channel=config.granularity == "per-channel", keep_float=keep_float
        )

    return Recipe(mode, mode, build, last_resort=mode == "weight-only")
