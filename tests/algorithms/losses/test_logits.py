import math

import numpy as np
import pytest
import torch

from edgekd.algorithms.losses.logits import decoupled, dist, distillation, standardize

GENERATOR = torch.Generator().manual_seed(3)
STUDENT, TEACHER = (2 * torch.randn(6, 5, generator=GENERATOR) for _ in range(2))
LABELS = torch.tensor([0, 4, 2, 1, 0, 3])


def softmax(logits: torch.Tensor, temperature: float) -> np.ndarray:
    scaled = np.exp(logits.double().numpy() / temperature)
    return scaled / scaled.sum(1, keepdims=True)


def gradient(loss, student: torch.Tensor) -> torch.Tensor:
    student = student.clone().requires_grad_()
    loss(student).backward()
    assert student.grad is not None
    return student.grad


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_divergence_is_the_formula(temperature: float) -> None:
    p, q = softmax(TEACHER, temperature), softmax(STUDENT, temperature)
    by_hand = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    assert distillation(STUDENT, TEACHER, temperature).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda student: distillation(student, TEACHER, 3.0),
        lambda student: dist(student, TEACHER, 2.0),
        lambda student: decoupled(student, TEACHER, LABELS),
    ],
)
def test_equal_logits_cost_nothing_and_others_something(loss) -> None:
    assert loss(TEACHER).item() == pytest.approx(0.0, abs=1e-5)
    assert loss(TEACHER + 5).item() == pytest.approx(0.0, abs=1e-5)  # only differences of logits matter
    assert loss(STUDENT).item() > 0.1
    assert gradient(loss, STUDENT).norm() > 0.01


@pytest.mark.parametrize(
    "loss",
    [
        lambda student, temperature: distillation(student, TEACHER, temperature),
        lambda student, temperature: dist(student, TEACHER, temperature),
        lambda student, temperature: decoupled(student, TEACHER, LABELS, temperature),
    ],
)
def test_the_gradient_keeps_its_size_at_high_temperatures(loss) -> None:
    norms = [gradient(lambda s, t=t: loss(s, t), STUDENT).norm().item() for t in (16.0, 128.0)]
    assert norms[1] == pytest.approx(norms[0], rel=0.3)  # T squared too much or too little: 64 times


def test_the_z_score_has_no_mean_and_a_deviation_of_one() -> None:
    found = standardize(STUDENT)
    torch.testing.assert_close(found.mean(1), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.var(1), torch.ones(6))
    torch.testing.assert_close(standardize(5 * STUDENT + 7), found)


@pytest.mark.parametrize("logits", [torch.ones(2, 3), torch.zeros(2, 1), torch.full((1, 4), 1e6)])
def test_the_z_score_of_a_row_without_spread_is_zero_with_a_moderate_gradient(logits: torch.Tensor) -> None:
    assert (standardize(logits) == 0).all()
    wanted = torch.arange(float(logits.shape[1]))
    found = gradient(lambda s: (standardize(s) * wanted).sum(), logits)
    assert torch.isfinite(found).all()
    assert found.abs().max() < 10


def test_dist_is_the_formula_for_each_direction() -> None:
    ours, theirs = softmax(STUDENT, 2.0), softmax(TEACHER, 2.0)
    inter = np.mean([1 - np.corrcoef(ours[i], theirs[i])[0, 1] for i in range(6)])
    intra = np.mean([1 - np.corrcoef(ours[:, c], theirs[:, c])[0, 1] for c in range(5)])
    assert dist(STUDENT, TEACHER, 2.0, inter=1, intra=0).item() == pytest.approx(inter, rel=1e-4)
    assert dist(STUDENT, TEACHER, 2.0, inter=0, intra=1).item() == pytest.approx(intra, rel=1e-4)
    assert dist(STUDENT, TEACHER, 2.0, inter=3, intra=0.5).item() == pytest.approx(3 * inter + intra / 2, rel=1e-4)


def test_dist_sees_classes_that_are_all_but_ruled_out() -> None:
    logits = TEACHER - torch.tensor([0.0, 0.0, 0.0, 20.0, 40.0])  # probabilities around 1e-9 and 1e-18
    assert dist(logits, logits).item() == pytest.approx(0.0, abs=1e-5)


def test_dist_of_one_row_compares_only_between_classes() -> None:
    one = dist(STUDENT[:1], TEACHER[:1])
    torch.testing.assert_close(one, dist(STUDENT[:1], TEACHER[:1], intra=0))
    assert one > 0


def test_dist_leaves_out_what_the_teacher_holds_constant_and_nothing_else() -> None:
    undecided = TEACHER.clone()
    undecided[2] = 0.7
    kept = [0, 1, 3, 4, 5]
    torch.testing.assert_close(dist(STUDENT, undecided, intra=0), dist(STUDENT[kept], TEACHER[kept], intra=0))
    assert dist(torch.zeros(6, 5), TEACHER).item() == pytest.approx(2.0)  # a constant student correlates with nothing


def test_dist_does_not_take_rounding_for_a_pattern() -> None:
    undecided = torch.full((1, 12), 0.1)  # the mean of its twelve probabilities isn't exactly one of them
    student = torch.randn(1, 12, generator=torch.Generator().manual_seed(1))
    assert dist(student, undecided).item() == 0


def test_dkd_is_the_formula() -> None:
    temperature, alpha, beta = 4.0, 1.5, 6.0
    p, q = softmax(TEACHER, temperature), softmax(STUDENT, temperature)
    target, others = [], []
    for row, label in enumerate(LABELS.tolist()):
        bp, bq = ([v[row, label], 1 - v[row, label]] for v in (p, q))
        target.append(sum(a * math.log(a / b) for a, b in zip(bp, bq, strict=True)))
        op, oq = (np.delete(v[row], label) / np.delete(v[row], label).sum() for v in (p, q))
        others.append((op * np.log(op / oq)).sum())
    by_hand = temperature**2 * (alpha * np.mean(target) + beta * np.mean(others))
    assert decoupled(STUDENT, TEACHER, LABELS, temperature, alpha, beta).item() == pytest.approx(by_hand, rel=1e-5)


def test_dkd_with_the_teachers_doubt_as_beta_is_plain_distillation() -> None:
    rows = [
        decoupled(STUDENT[[i]], TEACHER[[i]], LABELS[[i]], 2.0, 1.0, 1 - softmax(TEACHER, 2.0)[i, LABELS[i]])
        for i in range(6)
    ]
    torch.testing.assert_close(torch.stack(rows).mean(), distillation(STUDENT, TEACHER, 2.0))


def test_dkd_leaves_out_unlabelled_rows() -> None:
    labels = torch.tensor([0, -1, 2, -1, -1, 3])
    rows = [0, 2, 5]
    torch.testing.assert_close(
        decoupled(STUDENT, TEACHER, labels), decoupled(STUDENT[rows], TEACHER[rows], LABELS[rows])
    )
    nothing = decoupled(STUDENT.clone().requires_grad_(), TEACHER, torch.full((6,), -1))
    nothing.backward()
    assert nothing.item() == 0


CERTAIN = 200 * torch.eye(4)  # a softmax of exactly 0 and 1 in 32 bits


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (STUDENT[:, :1], TEACHER[:, :1]),  # one class
        (STUDENT[:1], TEACHER[:1]),
        (torch.zeros(3, 4), torch.zeros(3, 4)),
        (torch.zeros(4, 4), CERTAIN),
        (CERTAIN.flip(0), CERTAIN),
        (CERTAIN, torch.zeros(4, 4)),
    ],
)
def test_corner_cases_are_finite_and_so_are_their_gradients(student: torch.Tensor, teacher: torch.Tensor) -> None:
    labels = torch.zeros(len(student), dtype=torch.long)
    for loss in (
        lambda s: distillation(s, teacher, 1.0),
        lambda s: distillation(standardize(s), standardize(teacher), 1.0),
        lambda s: dist(s, teacher),
        lambda s: decoupled(s, teacher, labels, 1.0),
    ):
        assert torch.isfinite(loss(student))
        assert torch.isfinite(gradient(loss, student)).all()


def test_dkd_of_two_classes_has_no_pattern_among_the_others() -> None:
    pair = STUDENT[:, :2], TEACHER[:, :2]
    labels = torch.tensor([0, 1, 1, 0, 0, 1])
    torch.testing.assert_close(decoupled(*pair, labels, 3.0, 1.0, 99.0), distillation(*pair, 3.0))
