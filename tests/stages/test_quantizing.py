"""How INT8 is chosen: methods, modes, operators that return to float, and what a file takes and gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgekd.algorithms.agreement import Agreement
from edgekd.algorithms.ranges import Histogram
from edgekd.artifact import Artifact
from edgekd.errors import BadInputError
from edgekd.profile.measurement import Interval
from edgekd.quantizers.onnx_editing import Editor
from edgekd.stages import STAGES, calibration, quantize_onnx, quantizing
from edgekd.stages.base import Context
from edgekd.stages.static_ranges import Observed
from edgekd.targets.isa import host_isa
from edgekd.tasks.image_classification import ImageClassification

Making = Callable[[str], Artifact]


def test_a_method_that_a_quantizer_lacks_is_refused(artifact: Making, context: Context) -> None:
    config = quantize_onnx.Config(method="smoothed", isa="arm64", machine="here")
    with pytest.raises(BadInputError, match="quantize: found the method 'smoothed' for onnxruntime") as caught:
        quantize_onnx.run((artifact("onnx_float"), artifact("calibration")), config, context)
    assert caught.value.hint == "known: entropy, min-max, mse, percentile, weight-only"


@pytest.mark.parametrize("kind", ["onnx_int8", "tflite_int8"])
def test_a_named_method_is_the_only_one_tried(kind: str, artifact: Making, context: Context) -> None:
    form = kind.removesuffix("_int8")
    stage = STAGES[f"quantize_{form}"]
    config = stage.Config(method="min-max", equalize=False, correct_bias=False, isa="x86", machine="here")
    product = stage.run((artifact(f"{form}_float"), artifact("calibration")), config, context)
    assert product.facts["method"] == "min-max"
    assert list(product.facts["candidates"]) == ["min-max"]
    assert product.path.parent == context.scratch
    assert product.facts["steps"] == {}
    assert "equalization" not in product.facts


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_biases_are_corrected_on_top_of_the_best_range(form: str, artifact: Making, context: Context) -> None:
    """All of the student's layers have ReLU6 behind them, which stops equalization: they are listed."""
    stage = STAGES[f"quantize_{form}"]
    config = stage.Config(isa="x86-vnni", machine="here")
    product = stage.run((artifact(f"{form}_float"), artifact("calibration")), config, context)
    *ranges, corrected = product.facts["candidates"]
    assert tuple(ranges) == Observed.METHODS
    ((step, before),) = product.facts["steps"].items()
    assert step == corrected == f"{before}, bias corrected"
    assert before == max(ranges, key=lambda name: product.facts["candidates"][name]["nearness"])
    left = product.facts["equalization"]["left"]
    assert product.facts["equalization"]["pairs"] == 0
    assert [len(names) for names in left.values()] == [2]
    assert left.keys() == ({"Clip"} if form == "onnx" else {"RELU6"})


def test_biases_are_corrected_anyway_where_that_is_wanted(artifact: Making, context: Context) -> None:
    config = quantize_onnx.Config(method="mse", correct_bias=True, isa="x86-vnni", machine="here")
    product = quantize_onnx.run((artifact("onnx_float"), artifact("calibration")), config, context)
    assert list(product.facts["candidates"]) == ["mse, bias corrected"]
    assert product.facts["steps"] == {}


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_operators_return_to_float_until_little_enough_is_lost(
    form: str, artifact: Making, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With activations cut to almost nothing the file is useless; with enough operators in float it is itself again."""
    monkeypatch.setattr(Observed, "ranges", lambda self, _method: dict.fromkeys(self.tensors, (0.0, 0.01)))
    stage = STAGES[f"quantize_{form}"]
    config = stage.Config(
        mode="static", method="min-max", correct_bias=False, max_drop=0.02, isa=host_isa(), machine="here"
    )
    product = stage.run((artifact(f"{form}_float"), artifact("calibration")), config, context)
    candidates = product.facts["candidates"]
    first, *reverted = candidates
    assert first == "min-max"
    assert candidates[first]["drop"]["point"] > 0.02
    assert product.facts["method"] in reverted
    assert "weight-only" not in candidates  # the last resort
    assert candidates[product.facts["method"]]["drop"]["point"] <= 0.02
    assert all(name.endswith("in float") for name in reverted)
    assert len(reverted) <= 5  # bisection


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_weights_alone_can_be_quantized(form: str, artifact: Making, context: Context) -> None:
    stage = STAGES[f"quantize_{form}"]
    config = stage.Config(mode="weight-only", isa="arm64", machine="here")
    product = stage.run((artifact(f"{form}_float"), artifact("calibration")), config, context)
    assert list(product.facts["candidates"]) == ["weight-only"]
    assert product.facts["mode"] == "weight-only"
    assert 0.999 < product.facts["candidates"]["weight-only"]["cosine"] < 1


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_weights_alone_are_the_last_resort(
    form: str, artifact: Making, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Observed, "ranges", lambda self, _method: dict.fromkeys(self.tensors, (0.0, 0.01)))
    monkeypatch.setattr("edgekd.stages.quantizing.fewest", lambda _most, _holds: None)
    stage = STAGES[f"quantize_{form}"]
    config = stage.Config(correct_bias=False, max_drop=0.02, isa=host_isa(), machine="here")
    product = stage.run((artifact(f"{form}_float"), artifact("calibration")), config, context)
    assert product.facts["method"] == "weight-only"
    assert list(product.facts["candidates"]) == ["min-max", "percentile", "entropy", "mse", "weight-only"]


@pytest.mark.parametrize("ends", ["int8", "uint8"])
def test_a_tflite_file_can_take_and_give_whole_numbers(ends: str, artifact: Making, context: Context) -> None:
    stage = STAGES["quantize_tflite"]
    config = stage.Config(method="min-max", io=ends, isa="arm64", machine="here")
    product = stage.run((artifact("tflite_float"), artifact("calibration")), config, context)
    (taken,), (given,) = product.facts["ends"]["input"], product.facts["ends"]["output"]
    assert taken["dtype"] == given["dtype"] == ends
    assert taken["scale"] > 0
    assert product.facts["candidates"]["min-max"]["cosine"] > 0.99
    with pytest.raises(BadInputError, match=f"found io = '{ends}' with the mode 'weight-only', expected 'static'"):
        stage.run(
            (artifact("tflite_float"), artifact("calibration")),
            config.model_copy(update={"mode": "weight-only", "method": "auto"}),
            context,
        )


def test_an_unstable_tensor_is_named() -> None:
    even, odd = (Histogram() for _ in range(2))
    even.add(np.linspace(0, 1, 50))
    odd.add(np.linspace(0, 9, 50))
    observed = Observed.of({"same": even, "loud": even}, {"same": even, "loud": odd})
    assert observed.unstable() == {"loud": pytest.approx(8 / 9, abs=0.02)}


def test_a_file_that_is_quantized_already_is_refused(artifact: Making, context: Context) -> None:
    config = quantize_onnx.Config(isa="arm64", machine="here")
    with pytest.raises(BadInputError, match=r"found \w+Linear \(.*expected float: it is quantized already"):
        quantize_onnx.run((artifact("onnx_int8"), artifact("calibration")), config, context)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(
    value: float, artifact: Making, context: Context, tmp_path: Path
) -> None:
    editor = Editor.open(artifact("onnx_float").path)
    name = max(editor.constants, key=lambda each: editor.constant(each).size)
    values = editor.constant(name).copy()
    values.flat[3] = value
    editor.put(name, values)
    editor.save(tmp_path / "broken.onnx")
    broken = replace(artifact("onnx_float"), path=tmp_path / "broken.onnx")
    config = quantize_onnx.Config(isa="arm64", machine="here")
    with pytest.raises(BadInputError, match=f"found 1 of {values.size} values of '{name}' .* NaN or infinite"):
        quantize_onnx.run((broken, artifact("calibration")), config, context)


def calibrated(context: Context, images: Callable[[np.ndarray], np.ndarray], samples: int = 60) -> dict[str, Any]:
    """Facts of a calibration set of training images that were changed."""
    data = context.data.set
    changed = replace(data, train=replace(data.train, images=images(data.train.images.copy())))
    task = ImageClassification(changed, 30)
    given = SimpleNamespace(open=lambda _tokenizer, _scratch: task)
    context.scratch.mkdir(parents=True, exist_ok=True)
    made = calibration.run((), calibration.Config(samples=samples), replace(context, data=cast("Any", given)))
    return dict(made.facts)


def test_a_calibration_set_of_one_picture_is_refused(context: Context) -> None:
    with pytest.raises(BadInputError, match="calibration: found 60 training images that are all the same"):
        calibrated(context, np.zeros_like)


def test_values_beyond_the_calibration_set_are_told(context: Context) -> None:
    assert not calibrated(context, lambda images: images)["problems"]
    rows = context.task().rows(context.seed).selection

    def louder(images: np.ndarray) -> np.ndarray:
        images[...] //= 2
        images[rows] += 100
        return images

    (problem,) = calibrated(context, louder)["problems"]
    assert re.fullmatch(
        r"[\d.]+% of the values of 'image' in other training rows lie beyond the calibration set's", problem
    )


def candidate(name: str, drop: tuple[float, float, float]) -> quantizing.Trial:
    recipe = quantizing.Recipe(name, name, lambda *_: None)
    return quantizing.Trial(recipe, Path(name), Agreement(1.0, 0.99, 0.1), Interval(*drop), 0.99)


@pytest.mark.parametrize(
    ("drops", "expected"),
    [
        ({"fast": (0.03, 0.02, 0.04), "slow": (0.005, 0.0, 0.01)}, "slow"),
        ({"fast": (0.012, 0.004, 0.02), "slow": (0.005, 0.0, 0.01)}, "slow"),  # one that surely holds comes first
        ({"fast": (0.012, 0.004, 0.02), "slow": (0.011, 0.004, 0.02)}, "fast"),  # neither is shown to lose too much
        ({"fast": (0.03, 0.02, 0.04), "slow": (0.02, 0.015, 0.03)}, "slow"),  # both are: the one that loses least
    ],
)
def test_a_candidate_is_out_where_it_is_shown_to_lose_too_much(
    drops: dict[str, tuple[float, float, float]], expected: str
) -> None:
    trials = [candidate(name, drop) for name, drop in drops.items()]
    times = {"float": np.full(15, 4e-3), "fast": np.full(15, 1e-3), "slow": np.full(15, 2e-3)}
    config = quantize_onnx.Config(isa="arm64", machine="here")
    facts = quantizing._chosen(trials, times, config)
    assert facts["method"] == expected
    assert f"{100 * drops[expected][0]:.2f}% of the quality lost" in facts["summary"]


def test_steps_are_added_to_the_closest_that_is_not_shown_to_lose_too_much() -> None:
    """Of a few hundred rows a single one would decide between ranges, were it by the drop that is likeliest."""
    config = quantize_onnx.Config(isa="arm64", machine="here")
    near = replace(candidate("near", (0.012, 0.0, 0.03)), nearness=-0.01)
    far = replace(candidate("far", (0.006, 0.0, 0.02)), nearness=-0.02)
    shown = replace(candidate("shown", (0.03, 0.02, 0.04)), nearness=-0.001)
    assert sorted([shown, far, near], key=lambda each: quantizing._away(config, each)) == [near, far, shown]
