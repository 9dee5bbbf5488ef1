"""The same function in fewer operators, for a runtime that has no single one for LayerNorm or for scaled attention."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from edgekd.models.families import FAMILIES


class LeanNorm(nn.Module):
    """LayerNorm over the last axis: ten operators in a TFLite file, fourteen as litert-torch takes it apart."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, values: Tensor) -> Tensor:
        """Normalise (..., H)."""
        centred = values - values.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias


def lean(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` that computes the same with fewer operators."""
    made = copy.deepcopy(module)
    queries = {family.query_key_value[0].rpartition(".")[::2] for family in FAMILIES.values()}
    with torch.no_grad():
        for name, part in list(made.named_modules()):
            if type(part) is nn.LayerNorm and part.elementwise_affine and len(part.normalized_shape) == 1:
                made.set_submodule(name, LeanNorm(part))
            for attention, query in queries:
                if name.endswith(attention):
                    _scale_queries(part, query)
    return made


def _scale_queries(attention: nn.Module, query: str) -> None:
    """Put the factor of the products of queries and keys into the queries' own weights, where there is one."""
    factor, linear = getattr(attention, "scaling", None), getattr(attention, query, None)
    if isinstance(factor, float) and isinstance(linear, nn.Linear):
        linear.weight.mul_(factor)
        if linear.bias is not None:
            linear.bias.mul_(factor)
        attention.scaling = 1.0  # type: ignore[assignment]
