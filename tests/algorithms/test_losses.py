import pytest
import torch
from torch.nn import functional

from edgekd.algorithms.losses import LossTerms, distillation, standardize, student_loss

STUDENT = torch.tensor([[0.2, -1.0, 3.0], [1.5, 0.0, -0.5]])
TEACHER = torch.tensor([[1.0, 0.0, 4.0], [2.0, 1.0, -3.0]])
LABELS = torch.tensor([2, 0])


def test_the_worked_example_of_the_divergence() -> None:
    found = distillation(torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]]), 1.0)
    assert found.item() == pytest.approx(0.3278, abs=5e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_divergence_is_the_formula_summed_by_hand(temperature: float) -> None:
    p, q = ((logits / temperature).softmax(1) for logits in (TEACHER, STUDENT))
    by_hand = temperature**2 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(distillation(STUDENT, TEACHER, temperature), by_hand)


def test_equal_logits_diverge_by_nothing() -> None:
    assert distillation(TEACHER, TEACHER, 3.0).item() == pytest.approx(0.0, abs=1e-6)


def test_the_gradient_does_not_shrink_with_the_temperature() -> None:
    norms = []
    for temperature in (8.0, 64.0):
        student = STUDENT.clone().requires_grad_()
        distillation(student, TEACHER, temperature).backward()
        assert student.grad is not None
        norms.append(student.grad.norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.25)  # without T squared: 64 times smaller


def test_the_worked_example_of_the_z_score() -> None:
    torch.testing.assert_close(standardize(torch.tensor([[1.0, 2.0, 3.0]])), torch.tensor([[-1.0, 0.0, 1.0]]))


def test_the_z_score_keeps_the_pattern_alone() -> None:
    torch.testing.assert_close(standardize(5 * TEACHER + 7), standardize(TEACHER))
    assert torch.isfinite(standardize(torch.ones(1, 3))).all()


@pytest.mark.parametrize("standardized", [True, False])
def test_the_loss_weighs_teacher_and_labels(*, standardized: bool) -> None:
    terms = LossTerms(0.7, 2.0, standardized)
    pair = (standardize(STUDENT), standardize(TEACHER)) if standardized else (STUDENT, TEACHER)
    by_hand = 0.7 * distillation(*pair, 2.0) + 0.3 * functional.cross_entropy(STUDENT, LABELS)
    torch.testing.assert_close(student_loss(STUDENT, TEACHER, LABELS, terms), by_hand)


def test_without_a_weight_the_teacher_is_ignored() -> None:
    terms = LossTerms(0.0, 2.0, standardized=True)
    found = student_loss(STUDENT, torch.full_like(TEACHER, torch.nan), LABELS, terms)
    torch.testing.assert_close(found, functional.cross_entropy(STUDENT, LABELS))
