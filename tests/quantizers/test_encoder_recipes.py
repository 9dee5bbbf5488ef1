"""Fixed ranges in text encoders, and products that return to float: in ONNX; test_tflite_outliers.py has TFLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tinytransformer import LAYERS, WIDTH, text, texts

from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError
from edgekd.quantizers import onnx_dynamic, onnx_outliers, onnx_products
from edgekd.quantizers.products import Call, Dense, Seen, most_sensitive_first, watched
from edgekd.runtimes.feeding import single_rows
from edgekd.runtimes.onnxruntime import Runner
from edgekd.stages import quantize_onnx, quantize_tflite
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks import TaskData

ISA = "x86-vnni"


@pytest.fixture(scope="module")
def products(encoder: Path) -> list[Dense]:
    return onnx_products.watch(encoder, texts())


@pytest.fixture(scope="module")
def static(encoder: Path, products: list[Dense], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("static") / "static.onnx"
    onnx_dynamic.quantize(encoder, path, ISA, fixed=products)
    return path


def away(path: Path, reference: Path) -> float:
    """Mean of 1 - cosine on texts that calibration didn't see."""
    rows = list(single_rows([{name: values[12:] for name, values in texts(40).items()}]))
    one, other = (np.asarray(Runner(each, 1).run(rows)) for each in (path, reference))
    return float(1 - (one * other).sum(1).mean())


def counts(path: Path, *kinds: str) -> list[int]:
    found = [node.op_type for node in onnx.load(path).graph.node]
    return [found.count(kind) for kind in kinds]


def test_every_product_with_weights_is_watched_without_padding(encoder: Path, products: list[Dense]) -> None:
    assert len(products) == 6 * LAYERS
    assert {each.call.weights.shape for each in products} == {(WIDTH, WIDTH), (WIDTH, 192), (192, WIDTH)}
    unpadded = {name: values[:1, :5] for name, values in texts().items()}
    once = onnx_products.watch(encoder, {name: values[:1] for name, values in texts().items()})
    assert [each.read.range for each in once] == [each.read.range for each in onnx_products.watch(encoder, unpadded)]
    assert all(each.wrote is None for each in products)  # what they write stays float


def test_fixed_ranges_stand_in_the_file(static: Path, encoder: Path, products: list[Dense]) -> None:
    """What several products read is rounded once."""
    assert counts(static, "QuantizeLinear", "MatMulInteger", "DynamicQuantizeLinear") == [4 * LAYERS, 0, 0]
    assert away(static, encoder) < 0.02
    steps = {each.name: numpy_helper.to_array(each) for each in onnx.load(static).graph.initializer}
    for each in products:
        low, high = each.read.range
        assert steps[f"{each.call.reads}_step"] == pytest.approx((high - low) / 255)


def test_smoothing_keeps_more_with_fixed_ranges(static: Path, encoder: Path, tmp_path: Path) -> None:
    onnx_outliers.smooth(encoder, tmp_path / "smoothed.onnx", texts())
    fixed = onnx_products.watch(tmp_path / "smoothed.onnx", texts())
    onnx_dynamic.quantize(tmp_path / "smoothed.onnx", tmp_path / "int8.onnx", ISA, fixed=fixed)
    assert away(tmp_path / "int8.onnx", encoder) < 0.5 * away(static, encoder)


@pytest.mark.parametrize(("isa", "most", "dtype"), [("x86", 64, np.uint8), ("arm64", 127, np.int8)])
def test_numbers_are_stored_as_the_processor_takes_them(
    isa: str, most: int, dtype: type, encoder: Path, products: list[Dense], tmp_path: Path
) -> None:
    onnx_dynamic.quantize(encoder, tmp_path / "made.onnx", isa, fixed=products)
    stored = {each.name: numpy_helper.to_array(each) for each in onnx.load(tmp_path / "made.onnx").graph.initializer}
    weights = [np.abs(values.astype(int)).max() for name, values in stored.items() if name.endswith("weights_int8")]
    assert max(weights) == most
    assert {values.dtype.type for name, values in stored.items() if name.endswith("_zero")} == {dtype}
    assert away(tmp_path / "made.onnx", encoder) < 0.02


def test_products_stay_in_float_by_name_and_by_operator(encoder: Path, products: list[Dense], tmp_path: Path) -> None:
    named = products[3].call.name
    for kept, left in (((named,), 6 * LAYERS - 1), (("MatMul",), 0)):
        for fixed, kind in (((), "MatMulInteger"), (products, "QuantizeLinear")):
            onnx_dynamic.quantize(encoder, tmp_path / "made.onnx", ISA, kept, fused=False, fixed=fixed)
            assert counts(tmp_path / "made.onnx", kind) == [left if not fixed else min(left, 4 * LAYERS - 1)]


def test_a_name_that_the_file_lacks_is_refused(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadInputError, match="found 'Softmaxx' to keep in float, which is no node or operator"
    ) as caught:
        onnx_dynamic.quantize(encoder, tmp_path / "made.onnx", ISA, ["Softmaxx"])
    assert "'Softmax'" in caught.value.hint


def dense(inputs: int, outputs: int, *, rare: float, by_token: bool = True) -> Dense:
    """A product that reads 64 tokens, in one of which a value is ``rare``."""
    generator = np.random.default_rng(0)
    tokens = generator.normal(size=(64, inputs))
    tokens[5, 0] = rare
    call = Call(f"{inputs} to {outputs}", "x", "y", generator.normal(size=(inputs, outputs)).astype(np.float32))
    (made,) = watched([call], [{"x": tokens}], by_token=by_token)
    return made


def test_a_product_that_narrows_stays_dynamic_where_rare_values_set_its_range() -> None:
    assert dense(64, 16, rare=500).stays_dynamic
    assert not dense(64, 16, rare=1).stays_dynamic
    assert not dense(16, 64, rare=500).stays_dynamic  # the encoder's other products are fixed anyway
    assert not dense(64, 16, rare=500, by_token=False).stays_dynamic  # the whole text has one range as well


def test_what_is_written_counts_where_it_is_rounded_too() -> None:
    found = dense(16, 64, rare=1)
    wide = Dense(found.call, found.read, Seen(-4000, 4000), by_token=True)
    assert wide.lost_static > 10 * found.lost_static
    assert wide.ranges == {"x": found.read.range, "y": (-4000, 4000)}


def test_what_loses_most_comes_first() -> None:
    calm, wild = dense(16, 64, rare=1), dense(64, 16, rare=500)
    assert most_sensitive_first([calm, wild], lambda each: each.lost_static) == ["64 to 16", "16 to 64"]


def given(kind: Kind, path: Path) -> Artifact:
    return Artifact(key="", kind=kind, path=path, sha256="", size_bytes=1, made_by="a test", inputs=())


@pytest.fixture
def inputs(encoder: Path, tmp_path: Path) -> tuple[Artifact, Artifact]:
    parts = {"calibration": texts(), "held_out": texts(12), "representative": text(9)}
    rows = {f"{part}/{name}": values for part, arrays in parts.items() for name, values in arrays.items()}
    np.savez(tmp_path / "rows.npz", **rows)
    return given(Kind.ONNX, encoder), given(Kind.CALIBRATION, tmp_path / "rows.npz")


def run(inputs: tuple[Artifact, Artifact], folder: Path, **options: Any) -> Product:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    context = Context(scratch, scratch, cast("TaskData", None), 0, 1, lambda *_: None)
    return quantize_onnx.run(inputs, quantize_onnx.Config(isa=ISA, machine="here", **options), context)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["smoothed", "dynamic", "min-max, smoothed"]),
        ({"mode": "static"}, ["min-max, smoothed", "min-max"]),
        ({"method": "min-max", "smooth": True}, ["min-max, smoothed"]),
        ({"smooth": False}, ["dynamic", "min-max"]),
    ],
)
def test_what_is_tried(
    options: dict[str, Any], names: list[str], inputs: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    facts = run(inputs, tmp_path, max_drop=1.0, **options).facts
    assert list(facts["candidates"]) == names
    assert facts["method"] in names
    lost = {name: 1 - each["cosine"] for name, each in facts["candidates"].items()}
    if options == {"mode": "static"}:
        assert lost["min-max, smoothed"] < 0.5 * lost["min-max"]
        assert facts["mode"] == "static"


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"smooth": False, "method": "smoothed"}, "the method 'smoothed'", "known: dynamic, min-max, weight-only"),
        ({"method": "entropy"}, "the method 'entropy'", "known: dynamic, min-max, smoothed, weight-only"),
    ],
)
def test_methods_that_encoders_lack_are_refused(
    options: dict[str, Any], message: str, hint: str, inputs: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=f"quantize: found {message} for onnxruntime") as caught:
        run(inputs, tmp_path, **options)
    assert caught.value.hint == hint


def test_whole_numbers_at_the_ends_are_refused(inputs: tuple[Artifact, Artifact], tmp_path: Path) -> None:
    config = quantize_tflite.Config(io="int8", isa=ISA, machine="here")
    context = Context(tmp_path, tmp_path, cast("TaskData", None), 0, 1, lambda *_: None)
    with pytest.raises(BadInputError, match="found io = 'int8' with a text encoder, expected 'float'"):
        quantize_tflite.run(inputs, config, context)


@pytest.mark.parametrize("options", [{"mode": "dynamic", "method": "dynamic"}, {"mode": "static", "smooth": False}])
def test_products_return_to_float_until_little_enough_is_lost(
    options: dict[str, Any], inputs: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    """The most sensitive ones are those that read outliers."""
    whole = run(inputs, tmp_path, max_drop=1.0, **options).facts
    bound = whole["candidates"][whole["method"]]["drop"]["lower"] * 0.75  # tables alone lose half
    facts = run(inputs, tmp_path, max_drop=bound, **options).facts
    first, *reverted = facts["candidates"]
    assert first == whole["method"]
    assert all(name.endswith("in float") for name in reverted)
    assert facts["method"] in reverted
    assert facts["candidates"][facts["method"]]["drop"]["point"] <= bound
    assert len(reverted) <= 5  # bisection of 12
    held = [name for name in reverted if facts["candidates"][name]["drop"]["point"] <= bound]
    assert min(int(name.split()[-3]) for name in held) < 6 * LAYERS
