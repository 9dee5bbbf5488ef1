"""What the stages refuse, and what is the same when they run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from workshop import Built

from edgekd.artifact import Artifact, Kind
from edgekd.data.dataset import DataSet
from edgekd.errors import BadInputError, StageError
from edgekd.models import loading
from edgekd.runtimes import BY_KIND, for_file
from edgekd.stages import STAGES, distill, prune, quantize_onnx, student, teacher, teacher_outputs
from edgekd.stages.base import Context, NoConfig
from edgekd.stages.teaching import logits_of
from edgekd.store import Product

Making = Callable[[str], Artifact]


def as_artifact(product: Product, kind: Kind) -> Artifact:
    size = product.path.stat().st_size
    return Artifact(
        key="k", kind=kind, path=product.path, sha256="", size_bytes=size, made_by="", inputs=(), facts=product.facts
    )


@pytest.fixture
def taught(built: Built, context: Context) -> Artifact:
    """The teacher, loaded again from the workshop's file."""
    return as_artifact(
        teacher.run((), teacher_config(built.workshop.folder / "teacher.safetensors"), context), Kind.TORCH
    )


def teacher_config(weights: Path, **options: Any) -> teacher.Config:
    return teacher.Config(model="tinynet:teacher", options=options, weights=weights, weights_sha256="", code_sha256="")


def outputs(taught: Artifact, context: Context) -> Artifact:
    return as_artifact(
        teacher_outputs.run((taught,), teacher_outputs.Config(views=2, flip=True), context), Kind.OUTPUTS
    )


def test_the_teachers_outputs_are_its_logits_for_each_fitted_image(taught: Artifact, context: Context) -> None:
    found = np.load(outputs(taught, context).path)
    assert found.shape == (2, 210, 3)
    assert found.dtype == np.float32
    module, _ = loading.load(taught.path)
    images = context.data.set.train.images
    from edgekd.data.splits import split_training

    rows = split_training(context.data.set.train.labels, 30, 3, 5).fit
    np.testing.assert_allclose(found[0], logits_of(module, images[rows]), atol=1e-5)
    assert not np.allclose(found[0], found[1])


def test_the_student_starts_from_its_seed(context: Context) -> None:
    config = student.Config(model="tinynet:student", options={"width": 16}, code_sha256="")
    first = load_file(student.run((), config, context).path)
    again = load_file(student.run((), config, context).path)
    other = load_file(student.run((), config, replace(context, seed=6)).path)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_distilling_again_gives_the_same_weights(artifact: Making, taught: Artifact, context: Context) -> None:
    config = distill.Config(epochs=2, batch_size=30)
    inputs = (artifact("student_start"), outputs(taught, context))
    first = load_file(distill.run(inputs, config, context).path)
    again = load_file(distill.run(inputs, config, replace(context, partial=context.scratch / "p")).path)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_student_taught_by_labels_alone_ignores_the_teacher(
    artifact: Making, taught: Artifact, context: Context
) -> None:
    config = distill.Config(epochs=1, batch_size=30, alpha=0.0)
    given = outputs(taught, context)
    first = load_file(distill.run((artifact("student_start"), given), config, context).path)
    np.save(given.path, np.full_like(np.load(given.path), np.nan))
    context = replace(context, partial=context.scratch / "p")
    again = load_file(distill.run((artifact("student_start"), given), config, context).path)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_loss_that_explodes_fails_the_stage(artifact: Making, taught: Artifact, context: Context) -> None:
    given = outputs(taught, context)
    np.save(given.path, np.full_like(np.load(given.path), np.inf))
    with pytest.raises(StageError, match=r"the loss is nan in step 1 of 7 \(epoch 1\)"):
        distill.run((artifact("student_start"), given), distill.Config(epochs=1, batch_size=30), context)


def test_a_pruning_target_out_of_reach_says_what_to_change(
    artifact: Making, taught: Artifact, context: Context
) -> None:
    config = prune.Config(epochs=1, macs_kept=0.05)
    with pytest.raises(BadInputError, match="of the multiply-accumulates are left, expected at most 5%") as caught:
        prune.run((artifact("student_start"), outputs(taught, context)), config, context)
    assert caught.value.hint == "lower round_to, raise macs_kept, or use a wider student"


def test_a_teacher_for_other_classes_is_refused(tmp_path: Path, context: Context) -> None:
    import tinynet

    path = loading.save(tinynet.teacher(classes=5), loading.ModelSpec("tinynet:teacher"), tmp_path / "five.safetensors")
    with pytest.raises(BadInputError) as caught:
        teacher.run((), teacher_config(path, classes=5), context)
    assert caught.value.message == (
        "the teacher gives outputs of shape (1, 5) for one image, expected (1, 3): data set 'tiny bars' has 3 classes"
    )
    assert caught.value.hint == "use a teacher that was trained on these classes"


def test_a_student_for_other_classes_is_refused(context: Context) -> None:
    config = student.Config(model="tinynet:student", options={"classes": 4}, code_sha256="")
    with pytest.raises(BadInputError, match=r"the student gives outputs of shape \(1, 4\)"):
        student.run((), config, context)


def test_a_model_that_cannot_take_the_images_is_refused(context: Context) -> None:
    data: DataSet = context.data.set
    with pytest.raises(BadInputError, match=r"the teacher can't take an input of shape \(1, 3, 12, 12\): "):
        teacher.check_outputs(torch.nn.Linear(7, 3), data, "teacher")


def test_a_method_that_a_quantizer_lacks_is_refused(artifact: Making, context: Context) -> None:
    config = quantize_onnx.Config(method="mse", isa="arm64")
    with pytest.raises(BadInputError, match="quantize: found the method 'mse' for onnxruntime") as caught:
        quantize_onnx.run((artifact("onnx_float"), artifact("calibration")), config, context)
    assert caught.value.hint == "known: entropy, min-max, percentile"


@pytest.mark.parametrize("kind", ["onnx_int8", "tflite_int8"])
def test_a_named_method_is_the_only_one_tried(kind: str, artifact: Making, context: Context) -> None:
    form = kind.removesuffix("_int8")
    stage = STAGES[f"quantize_{form}"]
    config = stage.Config(method="min-max", isa="x86")
    product = stage.run((artifact(f"{form}_float"), artifact("calibration")), config, context)
    assert product.facts["method"] == "min-max"
    assert list(product.facts["candidates"]) == ["min-max"]
    assert product.path.parent == context.scratch


def test_evaluation_scores_every_test_image(artifact: Making, context: Context) -> None:
    product = STAGES["evaluate"].run((artifact("onnx_int8"),), NoConfig(), context)
    with np.load(product.path) as found:
        assert found["logits"].shape == (60, 3)
        right = found["logits"].argmax(1) == context.data.set.test.labels
        assert found["scores"].tolist() == right.astype(float).tolist()
    assert product.facts["items"] == 60


@pytest.mark.parametrize("ending", [".onnx", ".tflite"])
def test_a_damaged_model_file_fails_the_stage(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{ending}"
    path.write_bytes(b"no model" * 20)
    with pytest.raises(StageError, match=rf"model{ending}: .* can't load it"):
        for_file(path).Runner(path, 1)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"model\.pb: found the ending '\.pb', expected \.onnx or \.tflite"):
        for_file(tmp_path / "model.pb")


def test_every_kind_of_model_file_has_a_runtime() -> None:
    assert set(BY_KIND) == {Kind.ONNX, Kind.TFLITE}
