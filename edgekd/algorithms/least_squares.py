"""Least squares: the last linear layer of a block fitted to what it should have given, with fewer of its inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TOGETHER = 64  # inputs that go before the matrices are made smaller
RIDGE = 1e-4  # of the mean square of an input: keeps inputs that depend on each other from cancelling


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted layer: ``weight`` (H, K) on the inputs ``kept`` (K,), in rising order, and ``bias`` (H,)."""

    kept: Tensor
    weight: Tensor
    bias: Tensor
    unexplained: float  # share of the targets' variance


class Moments:
    """Sums over samples of x x^T (F + 1, F + 1) and t x^T (H, F + 1), x being the inputs with a 1 behind them.

    Memory does not grow with the number of samples. The sums are in float64.
    """

    def __init__(self, inputs: int, targets: int) -> None:
        self.inner = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self.cross = torch.zeros(targets, inputs + 1, dtype=torch.float64)
        self._squares = 0.0

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Count in ``inputs`` (N, F) and ``targets`` (N, H)."""
        extended = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
        self.inner += extended.T @ extended
        self.cross += targets.T @ extended
        self._squares += float(targets.double().square().sum())

    @property
    def samples(self) -> int:
        """How many were counted in."""
        return round(float(self.inner[-1, -1]))

    @property
    def inputs(self) -> int:
        """F."""
        return len(self.inner) - 1

    def unexplained(self, weights: Tensor, places: Tensor) -> float:
        """Share of the targets' variance that W x leaves: ``weights`` (H, K + 1) on the inputs at ``places``."""
        inner = self.inner[places][:, places]
        modelled = (weights * (2 * self.cross[:, places] - weights @ inner)).sum()
        variance = self._squares - float(self.cross[:, -1].square().sum()) / self.samples
        return max(self._squares - float(modelled), 0.0) / max(variance, torch.finfo(torch.float64).tiny)


def fit(moments: Moments, count: int) -> Fit:
    """Choose ``count`` inputs and the layer on them: min over W, b of sum ||W x_kept + b - t||^2 + ridge ||W||^2.

    Backward elimination: one input after the other goes, always the one that adds least to the error with the others
    fitted again, ||w_j||^2 / [(X^T X)^-1]_jj; the inverse and W follow by a rank-one update. Source: the optimal brain
    surgeon of Hassibi and Stork 1993, https://doi.org/10.1109/ICNN.1993.298572, for a layer's inputs.

    >>> moments = Moments(3, 1)
    >>> inputs = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [2.0, 1.0, 2.0], [1.0, 3.0, 0.0]])
    >>> moments.add(inputs, 2 * inputs[:, :1] - 1)
    >>> found = fit(moments, 1)
    >>> found.kept.tolist(), round(found.weight.item(), 2), round(found.bias.item(), 2)
    ([0], 2.0, -1.0)
    """
    ridge = torch.zeros(moments.inputs + 1, dtype=torch.float64)
    ridge[:-1] = RIDGE * moments.inner.diagonal()[:-1].mean()
    regular = moments.inner + torch.diag(ridge)
    kept = _eliminated(regular, moments.cross, count)
    places = torch.cat([kept, torch.tensor([moments.inputs])])
    weights = moments.cross[:, places] @ torch.linalg.inv(regular[places][:, places])
    return Fit(kept, weights[:, :-1].float(), weights[:, -1].float(), moments.unexplained(weights, places))


def _eliminated(regular: Tensor, cross: Tensor, count: int) -> Tensor:
    """The inputs that are left when all but ``count`` are gone."""
    inverse = torch.linalg.inv(regular)
    weights = cross @ inverse
    places = torch.arange(len(regular))  # of the inverse's rows; the last is the bias
    while (excess := len(places) - 1 - count) > 0:
        alive = torch.ones(len(places), dtype=torch.bool)
        for _ in range(min(excess, TOGETHER)):
            added = weights.square().sum(0) / inverse.diagonal()
            worst = int(torch.where(alive, added, torch.inf)[:-1].argmin())
            alive[worst] = False
            row, scale = inverse[worst].clone(), inverse[worst, worst].clone()
            weights -= torch.outer(weights[:, worst] / scale, row)
            inverse -= torch.outer(row / scale, row)
        places, weights, inverse = places[alive], weights[:, alive], inverse[alive][:, alive]
    return places[:-1]
