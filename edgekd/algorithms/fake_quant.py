"""INT8 simulated in float: values are rounded to what 8 bits can hold, and gradients pass as if they were not.

Rounding has a gradient of zero, so that of the identity is taken instead (straight-through estimator, Bengio et al.
2013, https://arxiv.org/abs/1308.3432). Steps and zero points are those that onnxruntime's and TFLite's quantizers
compute from the same ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 255  # between the 256 levels of 8 bits
LARGEST = 127  # of a weight: both signs reach as far
SMALLEST = 1e-12  # step of weights that are all zero


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch normalisation with its statistics as they are: (x - mean) / sqrt(variance + epsilon) * weight + bias."""

    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    epsilon: float


def rounded(values: Tensor) -> Tensor:
    """Round to whole numbers, halves to the even one; the gradient is that of ``values``."""
    return values + (values.round() - values).detach()


def fake_quantize(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round ``values`` to the 256 levels of the range [``low``, ``high``], which holds zero, and clip what is outside.

        step = (high - low) / 255,  zero = round(-low / step)
        step * (clip(round(x / step) + zero, 0, 255) - zero)

    Gradients go to the ends too: 1 to the end at which a value is clipped, and inside what rounding with another step
    would change. Source: Esser et al. 2020, Learned Step Size Quantization, https://arxiv.org/abs/1902.08153, with an
    end more by Bhalgat et al. 2020, LSQ+, https://arxiv.org/abs/2004.09576

    >>> low, high = torch.tensor(-1.0), torch.tensor(1.55, requires_grad=True)
    >>> made = fake_quantize(torch.tensor([-7.0, 0.014, 0.016, 9.0]), low, high)  # a step of 0.01
    >>> [round(value, 4) for value in made.tolist()]
    [-1.0, 0.01, 0.02, 1.55]
    >>> made[3].backward()
    >>> round(high.grad.item(), 4)
    1.0
    """
    step = (high - low) / STEPS
    zero = rounded(-low / step)
    return step * ((rounded(values / step) + zero).clamp(0, STEPS) - zero)


def fake_quantize_items(values: Tensor) -> Tensor:
    """Round each item of ``values`` (N, ...) to 256 levels between its own least and greatest value, or zero.

    That is what a file with dynamic INT8 does as it runs, with one item at a time; the range has no gradient.

    >>> made = fake_quantize_items(torch.tensor([[0.0, 2.4, 255.0], [0.0, 2.4, 510.0]]))
    >>> made.tolist()
    [[0.0, 2.0, 255.0], [0.0, 2.0, 510.0]]
    """
    flat = values.detach().flatten(1)
    shape = (-1, *(1,) * (values.ndim - 1))
    low, high = flat.amin(1).clamp_max(0).view(shape), flat.amax(1).clamp_min(0).view(shape)
    return fake_quantize(values, low, torch.maximum(high, low + SMALLEST))


def fake_quantize_weights(weight: Tensor, *, per_channel: bool = True) -> Tensor:
    """Round ``weight`` (outputs, ...) to -127 to 127 steps of max |w| / 127: one step for each output, or for all.

    >>> fake_quantize_weights(torch.tensor([[1.27, 0.014], [12.7, 0.14]])).tolist()
    [[1.2699999809265137, 0.009999999776482582], [12.699999809265137, 0.10000000149011612]]
    """
    flat = weight.detach().abs().flatten(1)
    largest = flat.amax(1).view(-1, *(1,) * (weight.ndim - 1)) if per_channel else flat.max()
    step = (largest / LARGEST).clamp_min(SMALLEST)
    return step * rounded(weight / step)


def folded(weight: Tensor, bias: Tensor | None, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return weight (outputs, ...) and bias of a convolution that does what this one and the ``norm`` behind it do.

        factor = norm.weight / sqrt(variance + epsilon);  weight * factor,  (bias - mean) * factor + norm.bias

    Source: Jacob et al. 2018, section 3.2, https://arxiv.org/abs/1712.05877

    >>> norm = Norm(torch.tensor([1.0]), torch.tensor([4.0]), torch.tensor([6.0]), torch.tensor([0.5]), 0.0)
    >>> [each.tolist() for each in folded(torch.tensor([[2.0]]), None, norm)]
    [[[6.0]], [-2.5]]
    """
    factor = (norm.variance + norm.epsilon).rsqrt()
    factor = factor if norm.weight is None else factor * norm.weight
    moved = (-norm.mean if bias is None else bias - norm.mean) * factor
    return weight * factor.view(-1, *(1,) * (weight.ndim - 1)), moved if norm.bias is None else moved + norm.bias


def eased(parameter: Tensor, factor: float) -> Tensor:
    """Return ``parameter`` as it is, whose gradient is ``factor`` times as large.

    >>> end = torch.tensor(3.0, requires_grad=True)
    >>> (2 * eased(end, 0.25)).backward()
    >>> eased(end, 0.25).item(), end.grad.item()
    (3.0, 0.5)
    """
    fixed = parameter.detach()
    return (parameter - fixed) * factor + fixed
