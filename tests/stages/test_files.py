"""The model files of the tiny build: their inputs, outputs and types, as an app would meet them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgekd.artifact import Artifact
from edgekd.data.splits import split_training
from edgekd.runtimes import BY_KIND, for_file
from edgekd.stages import calibration
from edgekd.stages.base import Context
from edgekd.tasks.image_classification import prepare

Making = Callable[[str], Artifact]


@pytest.mark.parametrize("kind", ["teacher_onnx", "onnx_float", "onnx_int8"])
def test_onnx_takes_one_rgb_image_channels_first(kind: str, artifact: Making) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(artifact(kind).path, providers=["CPUExecutionProvider"])
    ((name, shape, dtype),) = [(one.name, one.shape, one.type) for one in session.get_inputs()]
    assert (name, shape, dtype) == ("image", [1, 3, 12, 12], "tensor(float)")
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("logits", [1, 3])]


@pytest.mark.parametrize("kind", ["teacher_tflite", "tflite_float", "tflite_int8"])
def test_tflite_takes_one_rgb_image_channels_last(kind: str, artifact: Making) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(artifact(kind).path))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (taken["shape"].tolist(), taken["dtype"]) == ([1, 12, 12, 3], np.float32)
    assert (given["shape"].tolist(), given["dtype"]) == ([1, 3], np.float32)


@pytest.mark.parametrize("kind", ["onnx_int8", "tflite_int8"])
def test_the_work_of_int8_files_is_done_in_int8(kind: str, artifact: Making) -> None:
    found = artifact(kind)
    graph = BY_KIND[found.kind].describe(found.path)
    assert graph.int8_share == 1.0
    assert found.size_bytes == found.path.stat().st_size


def test_onnx_activations_are_signed_for_arm_and_weights_per_channel(artifact: Making) -> None:
    import onnx

    model = onnx.load(artifact("onnx_int8").path)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    sizes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    zeros = [node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {types[name] for name in zeros} == {onnx.TensorProto.INT8}
    scales = [
        node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in types
    ]
    assert any(sizes[name] and sizes[name][0] > 1 for name in scales)


def test_opset_and_operator_versions_are_recorded(artifact: Making) -> None:
    assert artifact("onnx_float").facts["opset"] >= 18
    versions = artifact("tflite_float").facts["operator_versions"]
    assert versions["CONV_2D"] >= 1
    assert versions["FULLY_CONNECTED"] >= 1


@pytest.mark.parametrize("kind", ["onnx_int8", "tflite_int8"])
def test_every_method_was_tried_and_of_those_equally_fast_the_closest_one_kept(kind: str, artifact: Making) -> None:
    facts = artifact(kind).facts
    nearness = {name: found["nearness"] for name, found in facts["candidates"].items()}
    assert list(nearness)[:4] == ["min-max", "percentile", "entropy", "mse"]
    (corrected,) = list(nearness)[4:]  # what equalizes: no pair of this network
    assert corrected.endswith(", bias corrected")
    assert nearness[facts["method"]] == max(nearness.values())
    assert facts["held_out"] == 30


def test_the_pruned_student_is_really_smaller(artifact: Making) -> None:
    facts = artifact("student_float").facts
    assert facts["macs_after"] <= 0.75 * facts["macs_before"]
    pruned, unpruned = (
        for_file(found.path).describe(found.path) for found in map(artifact, ("onnx_float", "onnx_unpruned"))
    )
    assert pruned.macs == facts["macs_after"]
    assert unpruned.macs == facts["macs_before"]
    assert artifact("onnx_float").size_bytes < artifact("onnx_unpruned").size_bytes


def test_the_calibration_set_is_of_training_images_apart_from_those_that_choose(
    artifact: Making, context: Context
) -> None:
    found = artifact("calibration")
    train = context.data.set.train
    rows = split_training(train.labels, 30, 3, seed=5)
    with np.load(found.path) as parts:
        drawn, held_out = parts["calibration_rows"], parts["held_out_rows"]
        assert set(drawn) <= set(rows.fit)
        assert held_out.tolist() == rows.selection.tolist()
        assert parts["held_out_labels"].tolist() == train.labels[rows.selection].tolist()
        images = {"calibration/image", "held_out/image", "representative/image"}
        assert set(parts.files) == {"calibration_rows", "held_out_rows", "held_out_labels", *images}
    for part, expected in (("calibration", drawn), ("held_out", held_out)):
        assert list(calibration.part(found, part)) == ["image"]
        assert np.array_equal(calibration.part(found, part)["image"], prepare(train.images[expected]))
    assert np.bincount(train.labels[drawn]).tolist() == [20, 20, 20]
    assert (found.facts["samples"], found.facts["classes"]) == (60, 3)
    assert len(found.facts["digest"]) == 64


def test_another_seed_draws_another_calibration_set(context: Context) -> None:
    digests = [
        calibration.run((), calibration.Config(samples=60, seed=seed), context).facts["digest"]
        for seed in (None, context.seed, context.seed + 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_all_versions_of_the_student_say_the_same(artifact: Making, context: Context) -> None:
    batches = [{"image": part} for part in np.array_split(prepare(context.data.set.test.images), 4)]
    logits = {
        kind: BY_KIND[artifact(kind).kind].Runner(artifact(kind).path, 1).run(batches)
        for kind in ("onnx_float", "onnx_int8", "tflite_float", "tflite_int8")
    }
    assert {found.shape for found in logits.values()} == {(60, 3)}
    assert np.abs(logits["onnx_float"] - logits["tflite_float"]).max() < 1e-4
    for kind in ("onnx", "tflite"):
        assert (logits[f"{kind}_float"].argmax(1) == logits[f"{kind}_int8"].argmax(1)).mean() > 0.9
