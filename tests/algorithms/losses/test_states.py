import math

import numpy as np
import pytest
import torch

from edgekd.algorithms.losses import states

GENERATOR = torch.Generator().manual_seed(7)
STUDENT, TEACHER = (torch.randn(2, 4, 6, generator=GENERATOR) for _ in range(2))
WIDE = torch.randn(2, 4, 12, generator=GENERATOR)
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
MAPS, TARGETS = (torch.randn(2, 3, 4, 4, generator=GENERATOR).softmax(-1) for _ in range(2))


def spoilt(tensor: torch.Tensor) -> torch.Tensor:
    """The same with other values at the padding."""
    return torch.where(MASK.unsqueeze(-1) == 1, tensor, tensor + 50)


def relation(vectors: np.ndarray, head: int, heads: int) -> np.ndarray:
    """One head's softmax of one item's tokens (L, C)."""
    size = vectors.shape[1] // heads
    part = vectors[:, head * size : (head + 1) * size]
    scores = np.exp(part @ part.T / math.sqrt(size))
    return scores / scores.sum(1, keepdims=True)


def test_hidden_is_the_formula_over_real_tokens() -> None:
    squares = (STUDENT - TEACHER).numpy() ** 2
    all_tokens = np.concatenate([squares[0, :3], squares[1, :2]]).mean()
    assert states.hidden(STUDENT, TEACHER, MASK).item() == pytest.approx(all_tokens, rel=1e-5)
    assert states.hidden(STUDENT, TEACHER).item() == pytest.approx(squares.mean(), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2, 2)])
def test_hidden_of_one_vector_or_one_map_knows_no_padding(shape: tuple[int, ...]) -> None:
    ours, theirs = torch.randn(2, *shape, generator=GENERATOR)
    expected = ((ours - theirs) ** 2).mean()
    torch.testing.assert_close(states.hidden(ours, theirs, torch.zeros(3, 7)), expected)


def test_pooling_goes_to_the_smaller_side_of_each() -> None:
    ours, theirs = torch.randn(1, 2, 4, 6, generator=GENERATOR), torch.randn(1, 3, 8, 3, generator=GENERATOR)
    first, second = states.pooled(ours, theirs)
    assert (first.shape, second.shape) == ((1, 2, 4, 3), (1, 3, 4, 3))
    torch.testing.assert_close(first[0, 1, 2, 0], ours[0, 1, 2, :2].mean())
    torch.testing.assert_close(second[0, 2, 1, 2], theirs[0, 2, 2:4, 2].mean())
    assert states.pooled(STUDENT, TEACHER) == (STUDENT, TEACHER)


def test_attention_is_the_formula_over_pairs_of_real_tokens() -> None:
    squares = (MAPS - TARGETS).numpy() ** 2
    pairs = np.concatenate([squares[0, :, :3, :3].reshape(3, -1), squares[1, :, :2, :2].reshape(3, -1)], axis=1)
    assert states.attention(MAPS, TARGETS, MASK).item() == pytest.approx(pairs.mean(), rel=1e-5)
    assert states.attention(MAPS, TARGETS).item() == pytest.approx(squares.mean(), rel=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_relations_is_the_formula_of_each_head_and_real_token(heads: int) -> None:
    by_token = []
    for item, tokens in enumerate((3, 2)):
        ours, theirs = (v[item, :tokens].double().numpy() for v in (STUDENT, WIDE))
        each = [(relation(theirs, head, heads), relation(ours, head, heads)) for head in range(heads)]
        by_token += list(np.mean([(p * np.log(p / q)).sum(1) for p, q in each], axis=0))
    assert states.relations(STUDENT, WIDE, heads, MASK).item() == pytest.approx(np.mean(by_token), rel=1e-4)


def test_relations_without_padding_need_no_mask() -> None:
    torch.testing.assert_close(states.relations(STUDENT, WIDE, 2), states.relations(STUDENT, WIDE, 2, torch.ones(2, 4)))


LOSSES = {
    "hidden": (states.hidden, STUDENT, TEACHER),
    "attention": (states.attention, MAPS, TARGETS),
    "relations": (lambda s, t, mask=None: states.relations(s, t, 2, mask), STUDENT, TEACHER),
}


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_equal_layers_cost_nothing_and_a_step_down_the_gradient_helps(name: str) -> None:
    loss, student, teacher = LOSSES[name]
    assert loss(teacher, teacher, MASK).item() == pytest.approx(0.0, abs=1e-6)
    moved = student.clone().requires_grad_()
    before = loss(moved, teacher, MASK)
    before.backward()
    assert moved.grad is not None
    assert loss(student - 0.1 * moved.grad, teacher, MASK) < before


@pytest.mark.parametrize("name", ["hidden", "relations"])
def test_padding_does_not_count(name: str) -> None:
    loss, student, teacher = LOSSES[name]
    torch.testing.assert_close(loss(spoilt(student), spoilt(teacher), MASK), loss(student, teacher, MASK))
    assert (loss(spoilt(student), teacher) - loss(student, teacher)).abs() > 0.01


def test_padding_gets_no_gradient() -> None:
    for loss, student, teacher in (LOSSES["hidden"], LOSSES["relations"]):
        moved = student.clone().requires_grad_()
        loss(moved, teacher, MASK).backward()
        assert moved.grad is not None
        assert (moved.grad[MASK == 0] == 0).all()
        assert (moved.grad[MASK == 1] != 0).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("mask", [torch.zeros(2, 4), torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]])])
def test_items_of_no_or_one_token_are_finite(name: str, mask: torch.Tensor) -> None:
    loss, student, teacher = LOSSES[name]
    moved = student.clone().requires_grad_()
    found = loss(moved, teacher, mask)
    found.backward()
    assert moved.grad is not None
    assert torch.isfinite(moved.grad).all()
    assert found.item() == 0 or mask.sum() > 0
    assert found.item() == pytest.approx(0.0, abs=1e-6) or name != "relations"  # one token relates to itself alone


def test_relations_keep_what_a_rotation_within_each_head_keeps() -> None:
    turn = torch.block_diag(*(torch.linalg.qr(torch.randn(3, 3, generator=GENERATOR)).Q for _ in range(2)))
    torch.testing.assert_close(states.relations(STUDENT @ turn, WIDE, 2), states.relations(STUDENT, WIDE, 2))
    assert states.relations(STUDENT @ turn, STUDENT, 3) > 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: states.hidden(STUDENT, WIDE), r"\(2, 4, 6\) and \(2, 4, 12\), expected the same"),
        (lambda: states.hidden(STUDENT, TEACHER, MASK[:, :1]), r"mask of shape \(2, 1\), expected \(2, 4\)"),
        (lambda: states.attention(MAPS, TARGETS[:, :2]), "3 attention heads and the teacher's 2.*'relations'"),
        (lambda: states.attention(MAPS[0], TARGETS[0]), r"expected \(items, heads, tokens, tokens\)"),
        (lambda: states.attention(MAPS, TARGETS[:, :, :1, :1]), "expected the same"),
        (lambda: states.attention(MAPS, TARGETS, MASK[:, :1]), r"mask of shape \(2, 1\), expected \(2, 4\)"),
        (lambda: states.relations(STUDENT, WIDE, 4), "4 relation heads can share"),
        (lambda: states.relations(STUDENT[0], WIDE[0], 2), r"expected \(items, tokens, dimensions\)"),
        (lambda: states.relations(STUDENT, WIDE[:, :3], 2), r"\(2, 4\) items and tokens and the teacher's \(2, 3\)"),
        (lambda: states.relations(STUDENT, WIDE, 2, MASK[:, :2]), r"mask of shape \(2, 2\), expected \(2, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
