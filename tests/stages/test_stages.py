"""What the stages refuse, and what is the same when they run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from workshop import Built

from edgekd.artifact import Artifact, Kind
from edgekd.data.dataset import Split
from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError, StageError
from edgekd.models import loading
from edgekd.models.cached_outputs import CachedOutputs
from edgekd.models.predicting import TorchModel, check_outputs, open_model
from edgekd.models.running import outputs_of
from edgekd.runtimes import BY_KIND, for_file
from edgekd.stages import (
    distill,
    evaluate,
    finetune,
    prune,
    shift,
    student,
    teacher,
    teacher_outputs,
)
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Rows, Task
from edgekd.tasks.base import Split as SplitName
from edgekd.tasks.image_classification import prepare

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


VIEWS = AugmentConfig(views=2, flip=True)
LABELS_ALONE = [{"use": "labels"}]


def outputs(taught: Artifact, context: Context, **options: Any) -> Artifact:
    config = teacher_outputs.Config(augment=VIEWS, **options)
    return as_artifact(teacher_outputs.run((taught,), config, context), Kind.OUTPUTS)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float16", 0.02)])
def test_the_teachers_outputs_are_its_logits_for_each_view_of_the_fitted_images_and_the_others(
    precision: str, tolerance: float, taught: Artifact, context: Context
) -> None:
    made = outputs(taught, context, precision=precision, shard_rows=100)
    packed = np.load(made.path)
    assert (packed.shape, packed.dtype) == ((2 * 210 + 30, 3), np.dtype(precision))
    found = CachedOutputs.open(made.path, made.facts)
    module, _ = loading.load(taught.path)
    task = context.task().augmented(VIEWS)
    rows = task.rows(5)
    for view in range(2):
        expected = outputs_of(module, task, "train", rows.fit, view)
        np.testing.assert_allclose(found.fit(view, np.arange(210)), expected, atol=tolerance)
        plain = prepare(context.data.set.train.images[rows.fit])
        assert np.array_equal(task.inputs("train", rows.fit, view)["image"], plain) == (view == 0)
    np.testing.assert_allclose(found.selection(), outputs_of(module, task, "train", rows.selection), atol=tolerance)
    assert made.facts["largest_rounding_error"] <= tolerance
    assert (made.facts["largest_rounding_error"] > 0) == (precision == "float16")
    assert (made.facts["views"], made.facts["fitted"], made.facts["width"]) == (2, 210, 3)


def test_shards_that_are_there_are_not_made_again(
    taught: Artifact, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = TorchModel.outputs

    def counted(self: TorchModel, task: Task, split: SplitName, rows: Rows, view: int = 0) -> Any:
        seen.append(len(rows))
        return real(self, task, split, rows, view)

    monkeypatch.setattr(TorchModel, "outputs", counted)
    whole = np.load(outputs(taught, context, shard_rows=100).path)
    assert sum(seen) == 450
    (context.partial / "shards" / "000002.npy").unlink()
    seen.clear()
    again = np.load(outputs(taught, context, shard_rows=100).path)
    assert sum(seen) == 100
    assert np.array_equal(whole, again)


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
    config = distill.Config(epochs=1, batch_size=30, losses=LABELS_ALONE)
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
    with pytest.raises(BadInputError, match=r"the teacher can't take an input of shape \(1, 3, 12, 12\): "):
        check_outputs(TorchModel(torch.nn.Linear(7, 3)), context.task(), "teacher")


def test_evaluation_scores_every_test_image(artifact: Making, context: Context) -> None:
    product = evaluate.run((artifact("onnx_int8"),), evaluate.Config(), context)
    with np.load(product.path) as found:
        assert found["outputs"].shape == (60, 3)
        right = found["outputs"].argmax(1) == context.data.set.test.labels
        assert found["scores"].tolist() == right.astype(float).tolist()
        assert found["labels"].tolist() == context.data.set.test.labels.tolist()
    assert product.facts["items"] == 60
    assert product.facts["quality"] == right.mean()
    assert (product.facts["metric"], product.facts["item"]) == ("top-1 accuracy", "image")
    assert "temperature" not in product.facts


def test_a_temperature_is_fitted_to_the_rows_kept_for_choosing(artifact: Making, context: Context) -> None:
    labels = context.data.set.train.labels.copy()
    labels[::7] = (labels[::7] + 1) % 3  # a model that is always right would be as sure as can be
    doubtful = Split(context.data.set.train.images, labels)
    context.data.__dict__["set"] = replace(context.data.set, train=doubtful)
    product = evaluate.run((artifact("onnx_int8"),), evaluate.Config(temperature=True), context)
    rows = context.task().rows(5).selection
    logits = open_model(artifact("onnx_int8"), 1).outputs(context.task(), "train", rows)
    fitted = product.facts["temperature"]

    def loss(temperature: float) -> float:
        scaled = torch.from_numpy(logits / temperature)
        return float(torch.nn.functional.cross_entropy(scaled, torch.from_numpy(labels[rows])))

    assert loss(fitted) <= min(loss(fitted * 1.05), loss(fitted * 0.95))


def test_under_shift_the_first_test_images_are_scored_as_they_are_and_harder(
    artifact: Making, context: Context
) -> None:
    told: list[tuple[int, int, str]] = []
    heard = replace(context, progressed=lambda *said: told.append(said))
    product = shift.run((artifact("onnx_int8"),), shift.Config(items=20), heard)
    doses = {f"{kind}/{level:g}" for kind, levels in context.task().shifts().items() for level in levels}
    plain = evaluate.run((artifact("onnx_int8"),), evaluate.Config(), context)
    with np.load(product.path) as found, np.load(plain.path) as scored:
        assert set(found.files) == {"/"} | doses
        assert all(found[dose].shape == (20,) for dose in found.files)
        assert np.array_equal(found["/"], scored["scores"][:20])
        assert min(found[dose].mean() for dose in doses) < found["/"].mean()
    assert [done for done, _, _ in told] == list(range(1, len(doses) + 2))
    assert "of 20 images" in product.facts["summary"]


def test_fine_tuning_learns_from_labels_alone_and_again_the_same(artifact: Making, context: Context) -> None:
    config = finetune.Config(epochs=6, batch_size=30)
    first = finetune.run((artifact("student_start"),), config, context)
    again = finetune.run((artifact("student_start"),), config, replace(context, partial=context.scratch / "p"))
    qualities = first.facts["selection_quality"]
    assert qualities == again.facts["selection_quality"]
    assert qualities[-1] > 0.8
    assert first.path.read_bytes() == again.path.read_bytes()


def test_frozen_parameters_stay_as_they_are(artifact: Making, context: Context) -> None:
    config = finetune.Config(epochs=1, batch_size=30, freeze=("classifier",))
    before = load_file(artifact("student_start").path)
    after = load_file(finetune.run((artifact("student_start"),), config, context).path)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {"classifier.weight", "classifier.bias"} <= same
    assert "features.0.0.weight" not in same
    with pytest.raises(BadInputError, match="freeze: found no parameter 'clasifier' in the student"):
        finetune.run(
            (artifact("student_start"),), finetune.Config(epochs=1, batch_size=30, freeze=("clasifier",)), context
        )


def test_a_live_teacher_teaches_what_its_cached_outputs_do(
    artifact: Making, taught: Artifact, context: Context
) -> None:
    config = distill.Config(epochs=2, batch_size=30)
    cached = as_artifact(
        teacher_outputs.run((taught,), teacher_outputs.Config(precision="float32"), context), Kind.OUTPUTS
    )
    one = distill.run((artifact("student_start"), cached), config, context)
    live = config.model_copy(update={"live": True})
    other = distill.run((artifact("student_start"), taught), live, replace(context, partial=context.scratch / "p"))
    np.testing.assert_allclose(one.facts["epoch_losses"], other.facts["epoch_losses"], rtol=1e-3)


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


def test_layers_whose_work_is_not_counted_are_not_pruned(
    artifact: Making, taught: Artifact, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekd.algorithms.pruning.UNCOUNTED", (torch.nn.BatchNorm2d,))
    config = prune.Config(epochs=1, macs_kept=0.5)
    with pytest.raises(BadInputError, match="prune: found BatchNorm2d, expected two-dimensional convolutions"):
        prune.run((artifact("student_start"), outputs(taught, context)), config, context)


def test_single_weights_are_zeroed_only_where_it_is_known_that_nothing_is_gained(
    artifact: Making, taught: Artifact, context: Context
) -> None:
    with pytest.raises(ValidationError, match="no kernel of onnxruntime or TFLite gains from zeros"):
        prune.Config(epochs=1, sparsity=0.5)
    config = prune.Config(epochs=1, sparsity=0.5, acknowledge_no_speedup=True)
    product = prune.run((artifact("student_start"), outputs(taught, context)), config, context)
    weights = [value for name, value in load_file(product.path).items() if value.ndim > 1]
    share = sum(int((value == 0).sum()) for value in weights) / sum(value.numel() for value in weights)
    assert share == pytest.approx(0.5, abs=0.01)
    assert product.facts["macs_after"] == product.facts["macs_before"]
    assert "50% of the weights are zero, none is saved" in product.facts["summary"]


@pytest.mark.parametrize("options", [{}, {"macs_kept": 0.5, "parameters_kept": 0.5}])
def test_pruning_has_one_target(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="expected one of macs_kept, parameters_kept, latency_kept, sparsity"):
        prune.Config(epochs=1, **options)


def test_layers_that_go_whole_are_not_equal_shares() -> None:
    options = {"epochs": 1, "macs_kept": 0.5, "structures": ["neurons", "layers"]}
    with pytest.raises(ValidationError, match="expected ratios = 'global'"):
        prune.Config(**options)
    prune.Config(**options, ratios="global")
    with pytest.raises(ValidationError, match="each once"):
        prune.Config(epochs=1, macs_kept=0.5, structures=("heads", "heads"))


def test_a_student_is_pruned_by_what_its_loss_depends_on(artifact: Making, taught: Artifact, context: Context) -> None:
    config = prune.Config(epochs=1, parameters_kept=0.7, importance="taylor", ratios="global", round_to=4)
    product = prune.run((artifact("student_start"), outputs(taught, context)), config, context)
    before = sum(value.numel() for value in load_file(artifact("student_start").path).values())
    assert sum(value.numel() for value in load_file(product.path).values()) < 0.75 * before
