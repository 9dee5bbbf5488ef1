"""What the steps that train a student do with their losses and options, on the tiny images, without a build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch import nn

from edgekd.algorithms.agreement import alikeness
from edgekd.artifact import Artifact, Kind
from edgekd.data.sources import DataConfig
from edgekd.data.splits import TrainingRows
from edgekd.data.views import AugmentConfig
from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.cached_outputs import CachedOutputs
from edgekd.models.running import outputs_of
from edgekd.stages import distill, finetune, student, teacher, teacher_outputs
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Outputs
from edgekd.tasks.image_classification import ImageClassification

KD: dict[str, Any] = {"use": "logits", "temperature": 2.0}


def as_artifact(product: Product, kind: Kind) -> Artifact:
    return Artifact(
        key="k", kind=kind, path=product.path, sha256="", size_bytes=1, made_by="", inputs=(), facts=product.facts
    )


def apart(context: Context, name: str) -> Context:
    """The same with folders of its own."""
    (context.scratch / name).mkdir()
    return replace(context, scratch=context.scratch / name, partial=context.partial / name)


@pytest.fixture
def start(context: Context) -> Artifact:
    config = student.Config(model="tinynet:student", options={}, code_sha256="")
    return as_artifact(student.run((), config, apart(context, "start")), Kind.TORCH)


@pytest.fixture
def taught(weights: Path, context: Context) -> Artifact:
    config = teacher.Config(model="tinynet:teacher", options={}, weights=weights, weights_sha256="", code_sha256="")
    return as_artifact(teacher.run((), config, apart(context, "teacher")), Kind.TORCH)


def cached(taught: Artifact, context: Context, **options: Any) -> Artifact:
    config = teacher_outputs.Config(**{"precision": "float32", "shard_rows": 100, **options})
    return as_artifact(teacher_outputs.run((taught,), config, context), Kind.OUTPUTS)


def distilled(inputs: tuple[Artifact, ...], context: Context, **options: Any) -> Product:
    config = distill.Config(**{"epochs": 1, "batch_size": 30, "losses": [KD], **options})
    return distill.run(inputs, config, context)


def same(first: Product, second: Product) -> bool:
    one, other = load_file(first.path), load_file(second.path)
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_largest_logits_alone_teach_what_all_of_them_do_where_they_keep_the_probabilities(
    start: Artifact, taught: Artifact, context: Context
) -> None:
    """Of three classes: with two kept the third's share is known, and with one the others share what is left."""
    whole, two, one = (cached(taught, apart(context, f"top {k}"), top_k=k) for k in (None, 2, 1))
    packed = np.load(two.path)
    assert packed.dtype.names == ("value", "index", "rest")
    assert packed["index"].shape == (240, 2)
    rows = np.arange(210)
    logits, again, rough = (CachedOutputs.open(each.path, each.facts).fit(0, rows) for each in (whole, two, one))
    np.testing.assert_allclose(again, logits, rtol=1e-4, atol=1e-4)
    assert np.abs(rough - logits).max() > 0.1
    np.testing.assert_allclose(rough.max(1), logits.max(1), rtol=1e-5)
    made = [distilled((start, each), apart(context, f"{each.path.parent.name} taught")) for each in (whole, two, one)]
    first, second, third = (each.facts["epoch_losses"] for each in made)
    assert second == pytest.approx(first, rel=1e-4)
    assert third != pytest.approx(first, rel=1e-3)
    for name, weights in load_file(made[1].path).items():
        torch.testing.assert_close(weights, load_file(made[0].path)[name], rtol=1e-3, atol=1e-4)


def test_a_temperature_moves_while_a_student_is_taught(start: Artifact, taught: Artifact, context: Context) -> None:
    """A schedule that has arrived before the training begins teaches as the number does, and one on its way doesn't."""
    outputs = cached(taught, apart(context, "outputs"))

    def by(name: str, temperature: Any) -> Product:
        losses = [{"use": "logits", "temperature": temperature}]
        return distilled((start, outputs), apart(context, name), losses=losses, optimizer="adamw", learning_rate=1e-3)

    hot, flat = by("hot", 8.0), by("flat", {"from": 8.0, "to": 8.0})
    moving, quick = by("moving", {"from": 8.0, "to": 1.0}), by("quick", {"from": 8.0, "to": 1.0, "until": 1e-9})
    assert same(hot, flat)
    assert not same(moving, hot)
    assert not same(moving, quick)


def test_the_temperature_of_each_step_is_the_schedules(
    start: Artifact, taught: Artifact, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekd.algorithms.losses import logits

    used: list[float] = []
    real = logits.distillation

    def noted(ours: torch.Tensor, theirs: torch.Tensor, temperature: float) -> torch.Tensor:
        used.append(temperature)
        return real(ours, theirs, temperature)

    monkeypatch.setattr(logits, "distillation", noted)
    losses = [{"use": "logits", "temperature": {"from": 8.0, "to": 1.0}}]
    distilled((start, cached(taught, apart(context, "outputs"))), apart(context, "student"), losses=losses)
    assert used[1:] == pytest.approx([8 - step for step in range(7)])  # the first is the trial before the training


def test_a_student_taught_in_16_bits_can_be_fine_tuned_in_32(
    start: Artifact, taught: Artifact, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[torch.dtype]] = {}
    step = "teacher"
    real = nn.Conv2d.forward

    def noted(self: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        found = real(self, images)
        if torch.is_grad_enabled():
            seen.setdefault(step, set()).add(found.dtype)
        return found

    monkeypatch.setattr(nn.Conv2d, "forward", noted)
    finetune.run((taught,), finetune.Config(epochs=1, batch_size=30), apart(context, "tuned"))
    step = "distill"
    made = distilled((start, cached(taught, apart(context, "outputs"))), apart(context, "short"), precision="bfloat16")
    step = "finetune"
    short = as_artifact(made, Kind.TORCH)
    tuned = finetune.run((short,), finetune.Config(epochs=2, batch_size=30), apart(context, "whole"))
    assert seen == {"teacher": {torch.float32}, "distill": {torch.bfloat16}, "finetune": {torch.float32}}
    assert {each.dtype for each in load_file(made.path).values() if each.is_floating_point()} == {torch.float32}
    assert tuned.facts["epoch_losses"][-1] < tuned.facts["epoch_losses"][0]


def test_a_model_is_fine_tuned_on_data_of_its_own(taught: Artifact, context: Context) -> None:
    """There rows are called columns and columns rows, which the pipeline's test images then are too."""
    data = context.data.trained_on(DataConfig(use="tiny:swapped", selection=30))
    config = finetune.Config(epochs=8, batch_size=30, learning_rate=0.05)
    tuned = finetune.run((taught,), config, replace(apart(context, "tuned"), data=data))
    assert tuned.facts["selection_quality"][-1] > 0.8
    task, rows = context.task(), np.arange(tiny.TEST)
    right = [
        task.score(outputs_of(loading.load(path)[0], task, "test", rows)).scores for path in (taught.path, tuned.path)
    ]
    kept = rows[rows % 3 == 2]
    assert right[0].mean() > 0.8
    assert right[1][kept].mean() > 0.6
    assert right[1][np.setdiff1d(rows, kept)].mean() < 0.2


VIEWS = AugmentConfig(views=2, flip=True, shift_pixels=2)


def test_a_live_teacher_sees_the_views_that_the_student_sees(
    start: Artifact, taught: Artifact, context: Context
) -> None:
    """In the second epoch both see the second view, whose outputs are those that would have been cached for it."""
    both = {
        "cached": (cached(taught, apart(context, "outputs"), augment=VIEWS), {}),
        "live": (taught, {"live": True, "augment": VIEWS}),
        "plain": (taught, {"live": True}),
    }
    losses = {
        name: distilled((start, given), apart(context, name), epochs=2, **more).facts["epoch_losses"]
        for name, (given, more) in both.items()
    }
    assert losses["live"] == pytest.approx(losses["cached"], rel=1e-3)
    assert losses["live"][0] == losses["plain"][0]
    assert losses["live"][1] != pytest.approx(losses["plain"][1], rel=1e-3)


def test_fine_tuning_sees_the_views_in_turn(start: Artifact, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = ImageClassification.inputs

    def noted(self: ImageClassification, split: Any, rows: Any, view: int = 0) -> Any:
        seen.append(view)
        return real(self, split, rows, view)

    monkeypatch.setattr(ImageClassification, "inputs", noted)
    plain = finetune.run((start,), finetune.Config(epochs=3, batch_size=70), apart(context, "plain"))
    assert set(seen) == {0}
    seen.clear()
    config = finetune.Config(epochs=3, batch_size=70, augment=VIEWS)
    viewed = finetune.run((start,), config, apart(context, "viewed"))
    batches = seen[1:]  # the first is the trial before the training
    assert batches == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]  # three batches, then the rows kept for choosing
    assert not same(plain, viewed)


class Embedding(ImageClassification):
    """The same images for models that give vectors."""

    outputs = Outputs.VECTORS
    labels = None  # type: ignore[assignment]

    def rows(self, seed: int) -> TrainingRows:
        del seed
        return TrainingRows(np.arange(210), np.arange(210, 240))

    def augmented(self, augment: AugmentConfig) -> Embedding:
        del augment
        return self


def same_classes(first: Any, second: Any) -> float:
    return float((first.argmax(1) == second.argmax(1)).mean())


OF_LOGITS = ("logits", "z-scored-logits", "dist", "dkd")
OPTIONS = {"contrastive": {"temperature": 0.5}}  # the vectors of a class are all alike, and 0.05 would set them apart
OF_VECTORS = ("mse", "cosine", "similarity-mse", "similarity-kl", "neighbours", "contrastive")


@pytest.mark.parametrize("use", [*OF_LOGITS, *OF_VECTORS])
def test_each_loss_of_the_outputs_alone_brings_a_student_nearer_to_its_teacher(
    use: str, start: Artifact, taught: Artifact, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    if use in OF_VECTORS:
        monkeypatch.setattr(Context, "task", lambda self, _inputs=(): Embedding(self.data.set, 30))
    made = distilled(
        (start, cached(taught, apart(context, "outputs"))),
        apart(context, "student"),
        losses=[{"use": use, **OPTIONS.get(use, {})}],
        epochs=6,
        optimizer="adamw",
        learning_rate=0.01,
    )
    losses = made.facts["epoch_losses"]
    assert losses[-1] < 0.95 * losses[0]
    task, rows = context.task(), context.task().rows(5).selection
    before, after, theirs = (
        outputs_of(loading.load(path)[0].eval(), task, "train", rows) for path in (start.path, made.path, taught.path)
    )
    near = same_classes if use in OF_LOGITS else alikeness
    assert near(after, theirs) > near(before, theirs) + 0.2


def test_vectors_of_another_width_than_the_teachers_are_refused_before_the_first_step(
    start: Artifact, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a student or a teacher is a module of the user's own, whose width no file tells."""
    told: list[int] = []
    heard = replace(context, progressed=lambda done, _total, _text: told.append(done))
    monkeypatch.setattr(Context, "task", lambda self, _inputs=(): Embedding(self.data.set, 30))
    path = context.scratch / "wide.npy"
    np.save(path, np.ones((240, 5), np.float32))
    facts = {"width": 5, "views": 1, "fitted": 210, "augment": {}}
    wide = as_artifact(Product(path, facts), Kind.OUTPUTS)
    with pytest.raises(BadInputError) as caught:
        distilled((start, wide), heard, losses=[{"use": "similarity-mse"}, {"use": "cosine"}])
    assert caught.value.exit_code == 2
    assert caught.value.message == (
        "losses[1] 'cosine': found a student with 3 dimensions and a teacher with 5, expected as many: coordinates are "
        "compared one by one; 'similarity-mse', 'similarity-kl', 'neighbours' and 'contrastive' work with both widths"
    )
    assert caught.value.hint.startswith("name another loss in 'losses'")
    assert told == []
    assert not (heard.partial / "checkpoint.pt").exists()
    distilled((start, wide), heard, losses=[{"use": "similarity-mse"}, {"use": "contrastive"}])
    assert told == list(range(1, 8))


def test_the_trial_of_the_losses_changes_nothing_in_the_student() -> None:
    from edgekd.models.pupil import Lesson, Pupil
    from edgekd.objectives.table import parse

    student = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    pupil = Pupil(student, parse([KD]))
    pupil.prepare(Lesson((torch.randn(2, 4),), torch.randn(2, 3)))
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert all(each.grad is None for each in pupil.parameters())
