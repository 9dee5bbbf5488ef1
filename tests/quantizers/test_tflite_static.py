"""Static INT8 for TFLite: the histograms are those of the tensors, and the file has the ranges it was given."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinynet
import torch
from torch import nn

from edgekd.algorithms.ranges import METHODS, Histogram, disagreement, mse
from edgekd.errors import BadInputError, MissingExtraError, StageError
from edgekd.models import quiet
from edgekd.quantizers import sensitivity, tflite_static
from edgekd.quantizers.tflite_static import left_float, observe, observe_halves, scale_and_zero_point
from edgekd.runtimes.tflite import describe
from edgekd.stages import export_tflite

pytest.importorskip("litert_quantizer")
pytest.importorskip("litert_torch")
ROWS = 40
SIZE = 12
TAKEN, GIVEN = "serving_default_args_0", "serving_default_output_0_output"
Ranges = dict[str, tuple[float, float]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny student, whose scores go through a softmax."""
    path = tmp_path_factory.mktemp("tflite_static") / "float.tflite"
    torch.manual_seed(0)
    student = tinynet.student()
    nn.init.zeros_(student.classifier.bias)  # untrained, it would outweigh the images
    with torch.no_grad():
        student.classifier.weight *= 4
    with quiet.frameworks(), quiet.native_stderr():
        export_tflite._export(nn.Sequential(student, nn.Softmax(1)).eval(), images(1), path)
    return path


@pytest.fixture(scope="module")
def seen(source: Path) -> dict[str, Histogram]:
    return observe(source, images())


@pytest.fixture(scope="module")
def ranges(seen: dict[str, Histogram]) -> Ranges:
    return {name: mse(each) for name, each in seen.items()}


def images(count: int = ROWS) -> dict[str, np.ndarray]:
    """Noise that is louder from row to row, so that the outputs differ."""
    noise = np.random.default_rng(0).normal(size=(count, 3, SIZE, SIZE))
    return {"images": (noise * np.linspace(0.3, 4, count)[:, None, None, None]).astype(np.float32)}


def quantize(source: Path, folder: Path, ranges: Ranges, **options: Any) -> Path:
    target = folder / f"{len(list(folder.iterdir()))}.tflite"
    with quiet.frameworks():
        tflite_static.quantize(source, target, ranges, **options)
    return target


def run(path: Path, rows: dict[str, np.ndarray]) -> np.ndarray:
    """Outputs as real numbers; inputs are rounded where the file takes whole ones."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for row in rows["images"].transpose(0, 2, 3, 1):
        interpreter.set_tensor(taken["index"], whole(row[None], taken))
        interpreter.invoke()
        outputs.append(real(interpreter.get_tensor(given["index"]), given))
    return np.concatenate(outputs)


def whole(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    if details["dtype"] == np.float32:
        return values
    (scale, zero), ends = details["quantization"], np.iinfo(details["dtype"])
    return np.clip(np.rint(values / scale) + zero, ends.min, ends.max).astype(details["dtype"])


def real(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero = details["quantization"]
    return values if details["dtype"] == np.float32 else (values.astype(np.float32) - zero) * scale


def activations(path: Path) -> dict[str, tuple[float, int]]:
    """Scale and zero point of every int8 tensor that an operator writes."""
    model = tflite_static.read(path)
    graph = model.subgraphs[0]
    tensors = [graph.tensors[place] for call in graph.operators for place in call.outputs]
    signed = [each for each in tensors if each.type == 9]
    return {each.name.decode(): (each.quantization.scale[0], each.quantization.zeroPoint[0]) for each in signed}


def operators(path: Path) -> list[str]:
    return [each.op_type for each in describe(path).operators]


def test_histograms_are_those_of_the_tensors(source: Path, seen: dict[str, Histogram]) -> None:
    rows, scores = images()["images"], run(source, images())
    for name, values in ((TAKEN, rows), (GIVEN, scores)):
        assert (seen[name].minimum, seen[name].maximum) == pytest.approx((values.min(), values.max()), rel=1e-5)
        assert seen[name].counts.sum() == values.size
    written = [each.name for each in describe(source).operators]
    assert seen.keys() == {TAKEN, *written}
    convolutions = [each.name for each in describe(source).operators if each.kind == "conv"]
    assert all(0 == seen[name].minimum < seen[name].maximum <= 6 for name in convolutions)  # with their ReLU6


def test_the_halves_are_the_even_and_the_odd_rows(source: Path) -> None:
    rows = images(6)
    rows["images"][3] *= 50
    even, odd = observe_halves(source, rows)
    assert even[TAKEN].maximum == rows["images"][::2].max()
    assert odd[TAKEN].maximum == rows["images"][3].max()
    assert disagreement(even[TAKEN], odd[TAKEN]) > 0.4  # both ends are further out, by about as much


def test_memory_does_not_grow_with_the_rows(source: Path) -> None:
    def peak(count: int) -> int:
        rows = images(count)
        tracemalloc.start()
        observe(source, rows)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # whatever is imported or cached once
    tensors = sum(each.counts.sum() * 4 // ROWS for each in observe(source, images()).values())
    assert peak(204) - peak(4) < 20 * tensors  # of 200 more rows


def test_a_value_that_is_not_finite_is_named(source: Path) -> None:
    rows = images(4)
    rows["images"][2, 0, 0, 0] = np.inf
    with pytest.raises(StageError, match=r"float\.tflite: the tensor '.*' in row 2: found values from .* to inf"):
        observe(source, rows)


def test_the_file_has_the_ranges_that_were_given(source: Path, ranges: Ranges, tmp_path: Path) -> None:
    found = activations(quantize(source, tmp_path, ranges))
    kinds = {each.name: each.op_type for each in describe(source).operators}
    assert found.pop(GIVEN) == (1 / 256, -128)  # softmax has this one by its kernel
    checked = 0
    for name, (scale, zero) in found.items():
        if kinds.get(name, "PAD") not in ("PAD", "TRANSPOSE"):  # these have the range of what they read
            low, high = np.float64(np.float32(ranges[name]))
            assert scale == pytest.approx((high - low) / 255, rel=1e-6), name
            assert zero == -128 - round(low / ((high - low) / 255)), name
            checked += 1
    assert checked == 4  # two convolutions, a mean and a dense layer


def test_another_range_is_another_file(source: Path, ranges: Ranges, tmp_path: Path) -> None:
    made = quantize(source, tmp_path, ranges | {TAKEN: (-1.0, 4.1)}, io="int8")
    (taken,) = scale_and_zero_point(made)["input"]
    assert (taken["scale"], taken["zero_point"]) == (pytest.approx(0.02), -78)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_stays_near_float(source: Path, seen: dict[str, Histogram], tmp_path: Path, method: str) -> None:
    made = quantize(source, tmp_path, {name: METHODS[method](each) for name, each in seen.items()})
    scores = run(source, images())
    assert np.abs(run(made, images()) - scores).mean() < 0.01
    assert np.ptp(scores, axis=0).min() > 0.1  # they do differ


def test_weights_have_a_scale_for_each_channel_or_one_for_all(source: Path, ranges: Ranges, tmp_path: Path) -> None:
    channels, whole = (quantize(source, tmp_path, ranges, per_channel=choice) for choice in (True, False))
    assert min(len(steps) for steps in weight_steps(channels).values()) > 1
    assert {len(steps) for steps in weight_steps(whole).values()} == {1}
    fine, coarse = (error(weights(source), weights(path)) for path in (channels, whole))
    assert 0 < fine < coarse


def error(exact: dict[bytes, np.ndarray], rounded: dict[bytes, np.ndarray]) -> float:
    return float(sum(((each - exact[name]) ** 2).sum() for name, each in rounded.items()))


def weight_steps(path: Path) -> dict[bytes, np.ndarray]:
    return {each.name: np.array(each.quantization.scale) for each, _ in weight_tensors(path)}


def weights(path: Path) -> dict[bytes, np.ndarray]:
    """The values that convolutions and dense layers multiply with."""
    found = {}
    for each, stored in weight_tensors(path):
        steps = np.ones(1) if each.type == 0 else np.array(each.quantization.scale)
        values = np.frombuffer(stored, np.float32 if each.type == 0 else np.int8).reshape(each.shape)
        found[each.name] = values * steps.reshape(-1, *[1] * (values.ndim - 1))
    return found


def weight_tensors(path: Path) -> list[tuple[Any, bytes]]:
    model = tflite_static.read(path)
    graph = model.subgraphs[0]
    tensors = [graph.tensors[call.inputs[1]] for call in graph.operators if len(call.inputs) == 3]
    return [(each, bytes(model.buffers[each.buffer].data)) for each in tensors]


@pytest.mark.parametrize(("io", "shift"), [("int8", 0), ("uint8", 128)])
def test_whole_numbers_go_in_and_out(source: Path, ranges: Ranges, tmp_path: Path, io: str, shift: int) -> None:
    plain, made = quantize(source, tmp_path, ranges), quantize(source, tmp_path, ranges, io=io)
    low, high = np.float64(np.float32(ranges[TAKEN]))
    step = (high - low) / 255
    zero = -128 - round(low / step) + shift
    assert scale_and_zero_point(made) == {
        "input": [{"name": TAKEN, "dtype": io, "scale": pytest.approx(step), "zero_point": zero}],
        "output": [{"name": GIVEN, "dtype": io, "scale": 1 / 256, "zero_point": -128 + shift}],
    }
    assert np.array_equal(run(made, images()), run(plain, images()))
    assert operators(made).count("QUANTIZE") == (2 if io == "uint8" else 0)


def test_uint8_files_keep_their_signature(source: Path, ranges: Ranges, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(quantize(source, tmp_path, ranges, io="uint8"))).get_signature_runner("serving_default")
    (taken,) = runner.get_input_details().items()
    (given,) = runner.get_output_details().values()
    assert (taken[0], taken[1]["name"], taken[1]["dtype"]) == ("args_0", TAKEN, np.uint8)
    assert (given["name"], given["dtype"]) == (GIVEN, np.uint8)
    rows = images(1)["images"].transpose(0, 2, 3, 1)
    (scores,) = runner(args_0=whole(rows, taken[1])).values()
    assert scores.sum() == pytest.approx(256, abs=3)


def test_float_files_say_so(source: Path) -> None:
    ends = scale_and_zero_point(source)
    assert ends["input"] == [{"name": TAKEN, "dtype": "float32", "scale": None, "zero_point": None}]


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_operators_can_stay_in_float(source: Path, ranges: Ranges, tmp_path: Path, io: str) -> None:
    made = quantize(source, tmp_path, ranges, keep_float=["CONV_2D", "SOFTMAX"], io=io)
    kept = [each for each in describe(made).operators if each.op_type in ("CONV_2D", "SOFTMAX")]
    assert len(kept) == 3
    assert not any(each.int8 for each in kept)
    assert activations(made).keys() & {each.name for each in kept} == set()
    assert [each.int8 for each in describe(made).operators if each.kind == "dense"] == [True]
    assert {each["dtype"] for ends in scale_and_zero_point(made).values() for each in ends} <= {"float32", io}
    assert np.abs(run(made, images()) - run(source, images())).max() < 0.03


def test_a_single_operator_can_stay_in_float(source: Path, ranges: Ranges, tmp_path: Path) -> None:
    first, second = (each.name for each in describe(source).operators if each.kind == "conv")
    made = describe(quantize(source, tmp_path, ranges, keep_float=[second]))
    assert {each.name.split("_quantized")[0]: each.int8 for each in made.operators if each.kind == "conv"} == {
        first: True,
        second: False,
    }


@pytest.mark.parametrize(("wrong", "meant"), [("Softmax", "SOFTMAX"), ("CONV2D", "'CONV_2D'")])
def test_an_unknown_operator_is_refused(source: Path, ranges: Ranges, tmp_path: Path, wrong: str, meant: str) -> None:
    with pytest.raises(BadInputError, match=f"quantize: found '{wrong}' to keep in float") as caught:
        quantize(source, tmp_path, ranges, keep_float=[wrong])
    assert meant in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_missing_range_is_named(source: Path, ranges: Ranges, tmp_path: Path) -> None:
    some = {name: each for name, each in ranges.items() if name != TAKEN}
    with pytest.raises(StageError, match=rf"float\.tflite: no range is given for {TAKEN}"):
        quantize(source, tmp_path, some)


@pytest.mark.parametrize(("changed", "left"), [(None, []), ("SOFTMAX", ["LOG_SOFTMAX"])])
def test_what_the_quantizer_leaves_in_float_is_named(
    source: Path, tmp_path: Path, changed: str | None, left: Collection[str]
) -> None:
    path = tmp_path / "changed.tflite"
    path.write_bytes(source.read_bytes() if changed is None else with_log_softmax(source))
    assert left_float(path) == left


def test_without_the_quantizer_it_is_asked_for(
    source: Path, ranges: Ranges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    for call in (lambda: quantize(source, tmp_path, ranges), lambda: left_float(source)):
        with pytest.raises(MissingExtraError, match="INT8 for TFLite needs the package 'litert-quantizer'"):
            call()


def with_log_softmax(source: Path) -> bytes:
    """The same file with an operator that litert-quantizer doesn't know."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(source))
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.LOG_SOFTMAX
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def test_the_operator_whose_weights_are_ruined_is_the_most_sensitive(
    source: Path, ranges: Ranges, tmp_path: Path
) -> None:
    _, second = (each.name for each in describe(source).operators if each.kind == "conv")
    narrow = {**ranges, second: (0.0, ranges[second][1] / 50)}  # nearly all of its output is clipped
    made = quantize(source, tmp_path, narrow)
    assert sensitivity.of_tflite(source, made, images())[0] == second
    kept = quantize(source, tmp_path, narrow, keep_float=[second])
    assert sensitivity.of_tflite(source, kept, images())[0] != second
