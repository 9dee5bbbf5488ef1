"""INT8 for onnxruntime: static for images (QDQ, by the calibration set), dynamic or static for texts, or weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from edgekd.algorithms.ranges import Range
from edgekd.artifact import Artifact, Kind
from edgekd.profile.measurement import Interval
from edgekd.profile.turns import speed_up
from edgekd.quantizers.products import Dense
from edgekd.runtimes.onnxruntime import Runner
from edgekd.stages import calibration, learned_ranges
from edgekd.stages.base import Context
from edgekd.stages.quantizing import Bench, QuantizeConfig, Recipe, choose, recipes_for
from edgekd.store import Product
from edgekd.targets.isa import Isa, host_isa
from edgekd.tasks.base import MASK, Arrays

VERSION = 6
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
    refuse_unfit(source)
    with quiet.frameworks():
        if MASK in rows:
            known, more = _of_texts(inputs, rows, config, context)
        else:
            known, more = _static(inputs, rows, config, context)
        recipes = recipes_for(config, [*known, _weight_only(source, config)], "onnxruntime")
        made = choose(recipes, Runner, inputs, config, context)
    return Product(made.path, {**made.facts, **more, "isa": config.isa})


def _of_texts(
    inputs: tuple[Artifact, ...], rows: Arrays, config: Config, context: Context
) -> tuple[list[Recipe], dict[str, Any]]:
    """Dynamic or static, each also after the outliers that the calibration set shows are taken out.

    The graph is fused if its INT8 file is faster then.
    """
    from edgekd.quantizers import onnx_dynamic, onnx_outliers, onnx_products
    from edgekd.stages.encoder_recipes import Encoder, Format, Source

    fusion = None if config.mode == "weight-only" else _fusion(inputs, config, context)
    fused = fusion is not None and fusion.point > 1

    def write(source: Path, target: Path, isa: Isa, keep_float: Collection[str], fixed: Sequence[Dense]) -> None:
        onnx_dynamic.quantize(source, target, isa, keep_float, fused=fused, fixed=fixed)

    form = Format(onnx_outliers.smooth, onnx_products.watch, write)
    encoder = Encoder(Source(inputs[0].path, rows, form), config, context.scratch)
    return encoder.recipes(), {"fusion": asdict(fusion)} if fusion else {}


def _fusion(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Interval:
    """How many times as fast on this machine an INT8 file of the fused graph is as one of the graph as it is."""
    from edgekd.quantizers import onnx_dynamic

    paths = {fused: context.scratch / f"{'' if fused else 'not-'}fused.onnx" for fused in (False, True)}
    for fused, path in paths.items():
        onnx_dynamic.quantize(inputs[0].path, path, host_isa(), fused=fused)
    bench = Bench(inputs[0].path, inputs[1], Runner, context.threads, config.max_drop)
    return speed_up(*bench.time(paths.values()))


def _static(
    inputs: Sequence[Artifact], rows: Arrays, config: Config, context: Context
) -> tuple[list[Recipe], dict[str, Any]]:
    from edgekd.quantizers import onnx_static, sensitivity
    from edgekd.quantizers.onnx_layers import OnnxLayers
    from edgekd.stages.static_recipes import Format, Source, Static

    def write(source: Path, target: Path, ranges: Mapping[str, Range], isa: Isa, keep_float: Sequence[str]) -> None:
        per_channel = config.granularity == "per-channel"
        onnx_static.quantize(source, target, ranges, isa=isa, per_channel=per_channel, keep_float=keep_float)

    prepared = context.scratch / "prepared.onnx"
    onnx_static.prepare(inputs[0].path, prepared)
    learned, facts = learned_ranges.found(inputs, rows, partial(onnx_static.quantizable, prepared))
    form = Format(onnx_static.observe_halves, write, sensitivity.of_onnx, OnnxLayers)
    static = Static(Source(prepared, rows, form, learned), config)
    return static.recipes(), {"left_float": onnx_static.left_float(prepared), **static.facts(), **facts}


def _weight_only(source: Path, config: Config) -> Recipe:
    from edgekd.quantizers import onnx_weights

    def build(target: Path, _isa: Isa, keep_float: Sequence[str]) -> None:
        onnx_weights.quantize(source, target, keep_float, per_channel=config.granularity == "per-channel")

    return Recipe("weight-only", "weight-only", build, last_resort=True)
