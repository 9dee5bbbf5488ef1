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


def fit(moments: Moments, count: int, width: int = 1) -> Fit:
    """Choose ``count`` inputs and the layer on them: min over W, b of sum ||W x_kept + b - t||^2 + ridge ||W||^2.

    Inputs go in groups of ``width`` that lie side by side, such as an attention head's; ``count`` is of groups.
    Backward elimination: one group g after the other goes, always the one that adds least to the error with the others
    fitted again, tr(W_g [(X^T X)^-1]_gg^-1 W_g^T); the inverse and W follow by an update of rank ``width``. Source: the
    optimal brain surgeon of Hassibi and Stork 1993, https://doi.org/10.1109/ICNN.1993.298572, for a layer's inputs.

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
    kept = _eliminated(regular, moments.cross, count, width)
    places = torch.cat([kept, torch.tensor([moments.inputs])])
    weights = moments.cross[:, places] @ torch.linalg.inv(regular[places][:, places])
    return Fit(kept, weights[:, :-1].float(), weights[:, -1].float(), moments.unexplained(weights, places))


def linear_map(inputs: Tensor, targets: Tensor) -> Tensor:
    """Return W (H, F) of min ||X W^T - T||^2 + ridge ||W||^2 for ``inputs`` X (N, F) and ``targets`` T (N, H).

    The ridge is 1e-4 of the mean square of an input, times N: with fewer samples than inputs W stays small.
    Source: Hoerl and Kennard 1970, https://doi.org/10.1080/00401706.1970.10488634

    >>> inputs = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> linear_map(inputs, inputs @ torch.tensor([[3.0], [-1.0]])).round(decimals=2).tolist()
    [[3.0, -1.0]]
    """
    given = inputs.double()
    inner = given.T @ given
    ridge = RIDGE * inner.diagonal().mean() * torch.eye(len(inner), dtype=torch.float64)
    found: Tensor = torch.linalg.solve(inner + ridge, given.T @ targets.double()).T.float()
    return found


def _eliminated(regular: Tensor, cross: Tensor, count: int, width: int) -> Tensor:
    """The inputs that are left when all but ``count`` groups are gone."""
    inverse = torch.linalg.inv(regular)
    weights = cross @ inverse
    places = torch.arange(len(regular))  # of the inverse's rows; the last is the bias
    while (groups := (len(places) - 1) // width) > count:
        alive = torch.ones(groups, dtype=torch.bool)
        for _ in range(min(groups - count, TOGETHER)):
            worst = int(torch.where(alive, _added(weights, inverse, alive), torch.inf).argmin())
            alive[worst] = False
            gone = slice(worst * width, (worst + 1) * width)
            rows = inverse[gone].clone()
            update = torch.linalg.solve(rows[:, gone], rows)
            weights -= weights[:, gone] @ update
            inverse -= rows.T @ update
        left = torch.cat([alive.repeat_interleave(width), torch.tensor([True])])
        places, weights, inverse = places[left], weights[:, left], inverse[left][:, left]
    return places[:-1]


def _added(weights: Tensor, inverse: Tensor, alive: Tensor) -> Tensor:
    """What the error grows by without each group: (groups,)."""
    groups, width = len(alive), (len(inverse) - 1) // len(alive)
    columns = weights[:, :-1].T.reshape(groups, width, -1)
    if width == 1:
        return columns.square().sum((1, 2)) / inverse.diagonal()[:-1]
    blocks = inverse[:-1, :-1].reshape(groups, width, groups, width).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    whole = torch.where(alive[:, None, None], blocks, torch.eye(width, dtype=blocks.dtype))  # those gone are zeros
    added: Tensor = (columns * torch.linalg.solve(whole, columns)).sum((1, 2))
    return added
