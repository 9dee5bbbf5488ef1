from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from edgekd.algorithms.losses import labels, logits, states, vectors
from edgekd.algorithms.losses.signals import Signals, Sizes
from edgekd.algorithms.losses.terms import TERMS, Terms
from edgekd.objectives import OBJECTIVES
from edgekd.objectives.table import parse

LAYERS = {"blocks.0": "layers.1", "blocks.1": "layers.3"}


def batch(*, width: int = 4, teacher_width: int = 4, channels: int = 6) -> Signals:
    """Five items of three tokens, with everything that a loss could ask for."""
    random = torch.Generator().manual_seed(11)

    def states_of(names: Any, *shape: int) -> dict[str, torch.Tensor]:
        return {name: torch.randn(5, *shape, generator=random) for name in names}

    return Signals(
        student=torch.randn(5, width, generator=random),
        teacher=torch.randn(5, teacher_width, generator=random),
        labels=torch.tensor([0, 3, -1, 2, 1]),
        mask=torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0]]),
        student_states=states_of(LAYERS.keys(), 3, channels),
        teacher_states=states_of(LAYERS.values(), 3, 6),
        student_maps={name: maps.softmax(-1) for name, maps in states_of(LAYERS.keys(), 2, 3, 3).items()},
        teacher_maps={name: maps.softmax(-1) for name, maps in states_of(LAYERS.values(), 2, 3, 3).items()},
    )


BATCH = batch()


def teacher() -> torch.Tensor:
    return BATCH.targets()


def mean_over_layers(loss: Any, ours: Any, theirs: Any, *options: Any) -> torch.Tensor:
    terms = [loss(ours[student], theirs[teacher], *options, BATCH.mask) for student, teacher in LAYERS.items()]
    return (terms[0] + terms[1]) / 2


EXPECTED: dict[str, tuple[dict[str, Any], Any]] = {
    "labels": ({"smoothing": 0.1}, lambda: labels.cross_entropy(BATCH.student, torch.tensor([0, 3, -1, 2, 1]), 0.1)),
    "logits": ({"temperature": 3}, lambda: logits.distillation(BATCH.student, teacher(), 3.0)),
    "z-scored-logits": (
        {"temperature": 3},
        lambda: logits.distillation(logits.standardize(BATCH.student), logits.standardize(teacher()), 3.0),
    ),
    "dist": (
        {"temperature": 2, "inter": 0.5, "intra": 3},
        lambda: logits.dist(BATCH.student, teacher(), 2.0, 0.5, 3.0),
    ),
    "dkd": (
        {"temperature": 2, "alpha": 0.5, "beta": 3},
        lambda: logits.decoupled(BATCH.student, teacher(), torch.tensor([0, 3, -1, 2, 1]), 2.0, 0.5, 3.0),
    ),
    "mse": ({}, lambda: vectors.mse(BATCH.student, teacher())),
    "cosine": (
        {"widths": [2]},
        lambda: (vectors.cosine(BATCH.student[:, :2], teacher()[:, :2]) + vectors.cosine(BATCH.student, teacher())) / 2,
    ),
    "similarity-mse": (
        {"widths": [3, 4]},
        lambda: (
            (vectors.similarity_mse(BATCH.student[:, :3], teacher()) + vectors.similarity_mse(BATCH.student, teacher()))
            / 2
        ),
    ),
    "similarity-kl": ({"temperature": 0.3}, lambda: vectors.similarity_kl(BATCH.student, teacher(), 0.3)),
    "neighbours": ({"temperature": 0.3}, lambda: vectors.neighbours(BATCH.student, teacher(), 0.3)),
    "contrastive": ({"temperature": 0.3}, lambda: vectors.contrastive(BATCH.student, teacher(), 0.3)),
    "hidden": (
        {"layers": LAYERS},
        lambda: mean_over_layers(states.hidden, BATCH.student_states, BATCH.teacher_states),
    ),
    "attention": (
        {"layers": LAYERS},
        lambda: mean_over_layers(states.attention, BATCH.student_maps, BATCH.teacher_maps),
    ),
    "relations": (
        {"layers": LAYERS, "relation_heads": 3},
        lambda: mean_over_layers(states.relations, BATCH.student_states, BATCH.teacher_states, 3),
    ),
}


def test_every_loss_that_a_pipeline_can_name_is_computed_and_tested() -> None:
    assert set(TERMS) == set(OBJECTIVES) == set(EXPECTED)


@pytest.mark.parametrize("use", sorted(EXPECTED))
def test_each_term_is_its_function_with_the_options_of_the_pipeline(use: str) -> None:
    options, expected = EXPECTED[use]
    total, each = Terms(parse([{"use": use, "weight": 0.5, **options}]), Sizes.of(BATCH))(BATCH, 0.0)
    torch.testing.assert_close(each, {use: expected()})
    torch.testing.assert_close(total, expected() / 2)
    assert expected() > 0


def test_the_total_is_the_weighted_sum() -> None:
    losses = parse([{"use": "cosine", "weight": 10}, {"use": "similarity-mse", "weight": 20}])
    total, each = Terms(losses, Sizes.of(BATCH))(BATCH, 0.5)
    torch.testing.assert_close(total, 10 * each["cosine"] + 20 * each["similarity-mse"])


def test_weights_and_temperatures_follow_their_schedules() -> None:
    tables = [
        {"use": "logits", "weight": {"from": 0.8, "to": 0.2}, "temperature": {"from": 5, "to": 1, "until": 0.5}},
        {"use": "labels", "weight": {"from": 0.2, "to": 0.8}},
    ]
    total, each = Terms(parse(tables), Sizes.of(BATCH))(BATCH, 0.25)
    torch.testing.assert_close(each["logits"], logits.distillation(BATCH.student, teacher(), 3.0))
    torch.testing.assert_close(total, 0.65 * each["logits"] + 0.35 * each["labels"])


def test_a_term_of_weight_zero_is_not_computed() -> None:
    losses = parse([{"use": "labels"}, {"use": "logits", "weight": {"from": 1, "to": 0, "until": 0.5}}])
    terms = Terms(losses, Sizes.of(BATCH))
    unknown = replace(BATCH, teacher=None)
    total, each = terms(unknown, 0.75)
    assert list(each) == ["labels"]
    torch.testing.assert_close(total, each["labels"])
    with pytest.raises(ValueError, match="no outputs of the teacher"):
        terms(unknown, 0.25)


def test_training_goes_on_where_no_term_has_a_weight_yet() -> None:
    student = BATCH.student.clone().requires_grad_()
    losses = parse([{"use": "labels", "weight": {"from": 0, "to": 1}}])
    total, each = Terms(losses, Sizes.of(BATCH))(replace(BATCH, student=student), 0.0)
    total.backward()
    assert (total.item(), each) == (0.0, {})


def test_the_teacher_learns_nothing_and_what_is_reported_holds_no_graph() -> None:
    student, known = (torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab")
    signals = replace(BATCH, student=student, teacher=known)
    total, each = Terms(parse([{"use": "cosine"}]), Sizes.of(signals))(signals, 0.0)
    total.backward()
    assert student.grad is not None
    assert known.grad is None
    assert not each["cosine"].requires_grad


def test_everything_is_computed_in_32_bits() -> None:
    short = replace(BATCH, student=BATCH.student.bfloat16(), teacher=teacher().half())
    losses = parse([{"use": "similarity-kl", "temperature": 0.01}, {"use": "hidden", "layers": LAYERS}])
    terms = Terms(losses, Sizes.of(short))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = terms(short, 0.0)
    expected, _ = terms(replace(short, student=short.student.float(), teacher=short.targets().float()), 0.0)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, expected)


def test_projections_stand_only_where_widths_differ() -> None:
    tables = [{"use": "contrastive"}, {"use": "hidden", "layers": LAYERS}]
    assert not list(Terms(parse(tables), Sizes.of(BATCH)).parameters())
    unequal = Terms(parse(tables), Sizes.of(batch(width=3, teacher_width=4, channels=2)))
    assert {name: tuple(each.shape) for name, each in unequal.named_parameters()} == {
        "projections.contrastive.weight": (4, 3),
        "projections.hidden-0.weight": (6, 2),
        "projections.hidden-1.weight": (6, 2),
    }


def test_a_projection_begins_by_keeping_angles() -> None:
    terms = Terms(parse([{"use": "contrastive"}]), Sizes.of(batch(width=3, teacher_width=9)))
    weight = terms.get_parameter("projections.contrastive.weight")
    torch.testing.assert_close(weight.T @ weight, torch.eye(3))


@pytest.mark.parametrize(
    ("table", "signals"),
    [
        ({"use": "contrastive"}, batch(width=3, teacher_width=7)),
        ({"use": "hidden", "layers": LAYERS}, batch(channels=2)),
    ],
)
def test_projections_learn_with_the_student(table: dict[str, Any], signals: Signals) -> None:
    torch.manual_seed(0)
    terms = Terms(parse([table]), Sizes.of(signals))
    optimizer = torch.optim.Adam(terms.parameters(), lr=0.05)
    course = []
    for _ in range(20):
        total, _ = terms(signals, 0.0)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        course.append(total.item())
    assert course[-1] < 0.95 * course[0]


def test_feature_maps_are_projected_by_channel_and_pooled() -> None:
    random = torch.Generator().manual_seed(2)
    ours, theirs = torch.randn(2, 3, 4, 4, generator=random), torch.randn(2, 5, 2, 2, generator=random)
    signals = Signals(torch.zeros(2, 4), student_states={"stem": ours}, teacher_states={"conv": theirs})
    terms = Terms(parse([{"use": "hidden", "layers": {"stem": "conv"}}]), Sizes.of(signals))
    weight = terms.get_parameter("projections.hidden-0.weight")
    by_hand = nn.functional.avg_pool2d(nn.functional.conv2d(ours, weight[:, :, None, None]), 2)
    torch.testing.assert_close(terms(signals, 0.0)[0], ((by_hand - theirs) ** 2).mean())


def test_the_same_weights_come_back_from_a_saved_state() -> None:
    losses, sizes = parse([{"use": "contrastive"}]), Sizes.of(batch(teacher_width=7))
    first, second = Terms(losses, sizes), Terms(losses, sizes)
    second.load_state_dict(first.state_dict())
    signals = batch(teacher_width=7)
    torch.testing.assert_close(first(signals, 0.0)[0], second(signals, 0.0)[0], rtol=0, atol=0)


def test_a_layer_that_was_not_recorded_is_named() -> None:
    losses = parse([{"use": "hidden", "layers": {"blocks.0": "layers.2"}}])
    with pytest.raises(ValueError, match=r"no layer 'layers.2' that was recorded, did you mean 'layers"):
        Terms(losses, Sizes.of(BATCH))


def test_missing_labels_are_named() -> None:
    with pytest.raises(ValueError, match="found no labels"):
        Terms(parse([{"use": "labels"}]), Sizes.of(BATCH))(replace(BATCH, labels=None), 0.0)
