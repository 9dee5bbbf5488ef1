import math
from functools import partial

import numpy as np
import pytest
import torch

from edgekd.algorithms.losses import vectors

GENERATOR = torch.Generator().manual_seed(5)
STUDENT = torch.randn(5, 4, generator=GENERATOR)
TEACHER = torch.randn(5, 4, generator=GENERATOR)
WIDE = torch.randn(5, 9, generator=GENERATOR)
TURN = torch.linalg.qr(torch.randn(4, 4, generator=GENERATOR)).Q  # a rotation, perhaps with a reflection

POINTWISE = {"mse": vectors.mse, "cosine": vectors.cosine}
RELATIONAL = {
    "similarity_mse": vectors.similarity_mse,
    "similarity_kl": partial(vectors.similarity_kl, temperature=0.2),
    "neighbours": partial(vectors.neighbours, temperature=0.2),
}
ALL = POINTWISE | RELATIONAL | {"contrastive": partial(vectors.contrastive, temperature=0.2)}


def cosines(rows: torch.Tensor) -> np.ndarray:
    array = rows.double().numpy()
    directions = array / np.linalg.norm(array, axis=1, keepdims=True)
    return directions @ directions.T


def shares(similarities: np.ndarray, row: int, temperature: float) -> np.ndarray:
    scores = np.exp(np.delete(similarities[row], row) / temperature)
    return scores / scores.sum()


def gradient(loss, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    student = student.clone().requires_grad_()
    loss(student, teacher).backward()
    assert student.grad is not None
    return student.grad


def test_mse_is_the_mean_over_rows_and_dimensions() -> None:
    by_hand = ((STUDENT.numpy() - TEACHER.numpy()) ** 2).sum() / 20
    assert vectors.mse(STUDENT, TEACHER).item() == pytest.approx(by_hand, rel=1e-5)


def test_mse_of_unit_vectors_is_the_cosine_loss_by_half_the_dimensions() -> None:
    pair = vectors.unit(STUDENT), vectors.unit(TEACHER)
    torch.testing.assert_close(vectors.mse(*pair), 2 / 4 * vectors.cosine(*pair))


def test_cosine_is_the_formula() -> None:
    ours, theirs = STUDENT.double().numpy(), TEACHER.double().numpy()
    each = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert vectors.cosine(STUDENT, TEACHER).item() == pytest.approx(1 - each.mean(), rel=1e-5)


def test_similarity_mse_is_the_formula_without_the_diagonal() -> None:
    squares = (cosines(STUDENT) - cosines(WIDE)) ** 2
    by_hand = sum(squares[i, j] for i in range(5) for j in range(5) if i != j) / 20
    assert vectors.similarity_mse(STUDENT, WIDE).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_similarity_kl_is_the_formula(temperature: float) -> None:
    ours, theirs = cosines(STUDENT), cosines(WIDE)
    pairs = [(shares(theirs, i, temperature), shares(ours, i, temperature)) for i in range(5)]
    by_hand = np.mean([(p * np.log(p / q)).sum() for p, q in pairs])
    assert vectors.similarity_kl(STUDENT, WIDE, temperature).item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_neighbours_is_the_formula(temperature: float) -> None:
    ours, theirs = cosines(STUDENT), cosines(WIDE)
    by_hand = np.mean([-math.log(shares(ours, i, temperature)[np.delete(theirs[i], i).argmax()]) for i in range(5)])
    assert vectors.neighbours(STUDENT, WIDE, temperature).item() == pytest.approx(by_hand, rel=1e-4)


def test_contrastive_is_the_formula_in_both_directions() -> None:
    scores = cosines(torch.cat([STUDENT, TEACHER]))[:5, 5:] / 0.2
    rows, columns = (
        np.mean([-each[i, i] + math.log(np.exp(each[i]).sum()) for i in range(5)]) for each in (scores, scores.T)
    )
    assert vectors.contrastive(STUDENT, TEACHER, 0.2).item() == pytest.approx((rows + columns) / 2, rel=1e-5)


def test_contrastive_tells_the_own_row_from_the_others() -> None:
    right = vectors.contrastive(TEACHER, TEACHER, 0.05)
    assert right < 0.5 * vectors.contrastive(TEACHER.roll(1, 0), TEACHER, 0.05)


@pytest.mark.parametrize("name", ["mse", "cosine", "similarity_mse", "similarity_kl"])
def test_equal_vectors_cost_nothing_and_others_something(name: str) -> None:
    assert ALL[name](TEACHER, TEACHER).item() == pytest.approx(0.0, abs=1e-6)
    assert ALL[name](STUDENT, TEACHER).item() > 0.01


@pytest.mark.parametrize("name", sorted(RELATIONAL))
def test_relations_do_not_change_where_one_side_is_turned_or_scaled(name: str) -> None:
    loss = RELATIONAL[name]
    torch.testing.assert_close(loss(STUDENT @ TURN, WIDE), loss(STUDENT, WIDE))
    lengths = torch.tensor([[0.1], [2.0], [30.0], [4.0], [5.0]])
    torch.testing.assert_close(loss(STUDENT * lengths, WIDE * lengths.flip(0)), loss(STUDENT, WIDE))


@pytest.mark.parametrize("name", ["cosine", "contrastive"])
def test_directions_do_not_change_where_both_sides_are_turned_or_one_is_scaled(name: str) -> None:
    loss = ALL[name]
    torch.testing.assert_close(loss(STUDENT @ TURN, TEACHER @ TURN), loss(STUDENT, TEACHER))
    torch.testing.assert_close(loss(7 * STUDENT, TEACHER), loss(STUDENT, TEACHER))
    assert (loss(STUDENT @ TURN, TEACHER) - loss(STUDENT, TEACHER)).abs() > 0.01


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_order_of_the_batch_does_not_matter_and_a_step_down_the_gradient_helps(name: str) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    before = ALL[name](STUDENT, TEACHER)
    torch.testing.assert_close(ALL[name](STUDENT[order], TEACHER[order]), before)
    assert ALL[name](STUDENT - 0.01 * gradient(ALL[name], STUDENT, TEACHER), TEACHER) < before


@pytest.mark.parametrize("name", sorted(RELATIONAL | {"contrastive": None}))
def test_one_row_has_nothing_to_be_compared_with(name: str) -> None:
    assert ALL[name](STUDENT[:1], TEACHER[:1]).item() == 0
    assert (gradient(ALL[name], STUDENT[:1], TEACHER[:1]) == 0).all()


@pytest.mark.parametrize("name", ["similarity_kl", "neighbours"])
def test_two_rows_leave_no_choice(name: str) -> None:
    assert ALL[name](STUDENT[:2], TEACHER[:2]).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (torch.zeros(3, 4), TEACHER[:3]),
        (STUDENT[:3], torch.zeros(3, 4)),
        (torch.zeros(1, 4), torch.zeros(1, 4)),
        (torch.full((3, 4), 1e-30), TEACHER[:3]),
        (TEACHER[[0, 0, 0]], TEACHER[[0, 0, 0]]),  # the same text thrice
        (STUDENT[:3, :1], TEACHER[:3, :1]),  # one dimension: every cosine is 1 or -1
    ],
)
def test_corner_cases_are_finite_and_their_gradients_moderate(
    name: str, student: torch.Tensor, teacher: torch.Tensor
) -> None:
    assert torch.isfinite(ALL[name](student, teacher))
    assert gradient(ALL[name], student, teacher).abs().max() < 100


@pytest.mark.parametrize("name", ["mse", "cosine", "contrastive"])
def test_unequal_widths_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(5, 4\) and \(5, 9\), expected the same"):
        ALL[name](STUDENT, WIDE)


def test_matryoshka_is_the_mean_over_cut_and_rescaled_vectors() -> None:
    cut = [
        vectors.mse(
            STUDENT[:, :width] / STUDENT[:, :width].norm(dim=1, keepdim=True),
            TEACHER[:, :width] / TEACHER[:, :width].norm(dim=1, keepdim=True),
        )
        for width in (1, 3)
    ]
    found = vectors.matryoshka(vectors.mse, STUDENT, TEACHER, (1, 3), cut_teacher=True)
    torch.testing.assert_close(found, (cut[0] + cut[1]) / 2)


def test_matryoshka_can_leave_the_teacher_whole() -> None:
    found = vectors.matryoshka(vectors.similarity_mse, STUDENT, WIDE, (2, 4), cut_teacher=False)
    by_hand = (vectors.similarity_mse(STUDENT[:, :2], WIDE) + vectors.similarity_mse(STUDENT, WIDE)) / 2
    torch.testing.assert_close(found, by_hand)


@pytest.mark.parametrize("widths", [(), (0,), (2, 5)])
def test_matryoshka_refuses_widths_that_there_are_not(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected one or more from 1 to 4"):
        vectors.matryoshka(vectors.cosine, STUDENT, TEACHER, widths, cut_teacher=True)
