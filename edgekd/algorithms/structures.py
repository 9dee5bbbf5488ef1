"""Which neurons, heads and layers of a transformer go: those that matter least for what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["neurons", "heads", "layers"]
WHOLE = -1  # of a structure that is in no layer: it is one


@dataclass(frozen=True, slots=True)
class Structure:
    """What goes together: a group of neurons or heads of one layer, or a whole layer."""

    kind: Kind
    layer: int
    members: tuple[int, ...]  # the numbers of the neurons or heads; of a layer none
    importance: float
    cost: int  # multiply-accumulates or parameters; of a layer with all that is in it

    @property
    def among(self) -> tuple[Kind, int]:
        """Of what it is a part: one of these stays."""
        return self.kind, WHOLE if self.kind == "layers" else self.layer


def gate_effect(activation: Tensor, gradient: Tensor, width: int = 1) -> Tensor:
    """Return for each row and group of ``width`` channels what the loss would change without it: (B, C / width).

    |sum_t sum_c a_tc dL/da_tc| over a row's tokens t and a group's channels c: the first-order term of the loss where
    the group's activations are scaled to 0. It is also |sum w dL/dw| over the weights that read the group, row by row.
    ``activation`` and ``gradient`` (B, L, C).
    Source: Molchanov et al. 2019, https://arxiv.org/abs/1906.10771; for heads Michel, Levy and Neubig 2019, 'Are
    Sixteen Heads Really Better than One?', https://arxiv.org/abs/1905.10650

    >>> import torch
    >>> gate_effect(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, 0.0], [-1.0, 0.5]]])).tolist()
    [[2.0, 2.0]]
    """
    effects = (activation * gradient).sum(1)
    return effects.reshape(len(effects), -1, width).sum(2).abs()


def grouped(importance: npt.NDArray[np.floating], size: int) -> list[tuple[int, ...]]:
    """Return the numbers in groups of ``size``, the least important first; the first group has what doesn't fill one.

    So whatever number of groups goes, a multiple of ``size`` is left.

    >>> grouped(np.array([3.0, 1.0, 2.0, 5.0, 4.0]), 2)
    [(1,), (2, 0), (4, 3)]
    """
    order = np.argsort(importance, kind="stable").tolist()
    first = len(order) % size or size
    starts = [0, *range(first, len(order), size)]
    return [tuple(order[start:end]) for start, end in zip(starts, [*starts[1:], len(order)], strict=True)]


def levelled(structures: Sequence[Structure]) -> list[Structure]:
    """Return the structures with importances such that each kind has 1 for a unit of cost, on the whole.

    For importances that can be compared within a kind alone, as norms of weights.

    >>> neurons = [Structure("neurons", 0, (0,), 1.0, 2), Structure("neurons", 0, (1,), 3.0, 2)]
    >>> [each.importance for each in levelled([*neurons, Structure("heads", 0, (0,), 500.0, 8)])]
    [1.0, 3.0, 8.0]
    """
    unit: dict[Kind, float] = {}
    for kind in {each.kind for each in structures}:
        alike = [each for each in structures if each.kind == kind]
        unit[kind] = sum(each.importance for each in alike) / sum(each.cost for each in alike) or 1.0
    return [replace(each, importance=each.importance / unit[each.kind]) for each in structures]


def least_important(structures: Sequence[Structure], excess: float, *, equal: bool) -> list[Structure]:
    """Return what goes, until ``excess`` of the cost is gone or nothing more can.

    With ``equal`` all layers lose the same share of their neurons and heads, as far as groups allow; else those go that
    matter least for a unit of what they cost, wherever they are. One group of each kind stays in a layer, and one layer
    of all. A layer that would take out more than is asked for stays, where there are other kinds to take.

    >>> costs = [(0, 1.0), (0, 4.0), (1, 2.0), (1, 9.0)]
    >>> neurons = [Structure("neurons", layer, (n,), importance, 10) for n, (layer, importance) in enumerate(costs)]
    >>> [each.members for each in least_important(neurons, 15, equal=False)]
    [(0,), (2,)]
    >>> layers = [Structure("layers", n, (), importance, 40) for n, importance in enumerate((3.0, 0.5))]
    >>> [each.layer for each in least_important(layers, 10, equal=True)]
    [1]
    """
    order = _shares_alike(structures) if equal else sorted(structures, key=lambda each: each.importance / each.cost)
    going = _Going(Counter(each.among for each in structures), mixed=len({each.kind for each in structures}) > 1)
    for each in order:
        if excess <= 0:
            break
        excess -= going.take(each, excess)
    return going.gone


def _shares_alike(structures: Iterable[Structure]) -> list[Structure]:
    """Ordered by the share of its layer's that is gone with it, then by importance."""
    ranked: dict[tuple[Kind, int], list[Structure]] = {}
    for each in sorted(structures, key=lambda each: each.importance):
        ranked.setdefault(each.among, []).append(each)
    shares = [((rank + 1) / len(all_), each) for all_ in ranked.values() for rank, each in enumerate(all_)]
    return [each for _, each in sorted(shares, key=lambda pair: (pair[0], pair[1].kind, pair[1].importance))]


@dataclass(slots=True)
class _Going:
    """What goes so far."""

    left: Counter[tuple[Kind, int]]
    mixed: bool
    gone: list[Structure] = field(default_factory=list)
    saved: Counter[int] = field(default_factory=Counter)  # in each layer
    layers: set[int] = field(default_factory=set)  # that are gone whole

    def take(self, each: Structure, excess: float) -> int:
        """Let one go if it may; return the cost that goes with it."""
        cost = each.cost - (self.saved[each.layer] if each.kind == "layers" else 0)
        too_much = each.kind == "layers" and self.mixed and cost > excess
        if self.left[each.among] == 1 or too_much or each.layer in self.layers:
            return 0
        if each.kind == "layers":
            self.gone = [other for other in self.gone if other.layer != each.layer]
            self.layers.add(each.layer)
        self.gone.append(each)
        self.left[each.among] -= 1
        self.saved[each.layer] += cost
        return cost
