import numpy as np
import pytest
import torch

from edgekd.algorithms.losses.labels import cross_entropy

LOGITS = torch.tensor([[0.2, -1.0, 3.0], [1.5, 0.0, -0.5], [0.0, 2.0, 1.0]])


def by_hand(logits: torch.Tensor, labels: list[int], smoothing: float) -> float:
    rows = []
    for row, label in zip(logits.double().numpy(), labels, strict=True):
        if label >= 0:
            wanted = np.full(len(row), smoothing / len(row))
            wanted[label] += 1 - smoothing
            rows.append(-(wanted * (row - np.log(np.exp(row).sum()))).sum())
    return float(np.mean(rows))


@pytest.mark.parametrize("labels", [[2, 0, 1], [0, -1, 1], [-1, -1, 2]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_the_formula_over_the_labelled_rows(labels: list[int], smoothing: float) -> None:
    found = cross_entropy(LOGITS, torch.tensor(labels), smoothing).item()
    assert found == pytest.approx(by_hand(LOGITS, labels, smoothing), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_without_labels_gives_nothing_to_learn(smoothing: float) -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = cross_entropy(logits, torch.full((3,), -1), smoothing)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_unlabelled_rows_get_no_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    cross_entropy(logits, torch.tensor([0, -1, 2])).backward()
    assert logits.grad is not None
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[[0, 2]] != 0).all()
