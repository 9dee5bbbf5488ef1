"""Structured pruning: whole channels, along torch-pruning's dependency graph."""

from __future__ import annotations

import torch
import torch_pruning
from torch import Tensor, nn

STEPS = 40  # the share of channels grows by 1/40 a step, until the target is met


def prune_channels(module: nn.Module, example: Tensor, macs_kept: float, round_to: int) -> tuple[int, int]:
    """Take channels out of ``module`` in place; return its multiply-accumulates before and after.

    Channels go in order of group magnitude (L2 over all layers that a channel couples; Fang et al., 'DepGraph:
    Towards Any Structural Pruning', CVPR 2023, https://arxiv.org/abs/2301.12900), the smallest of the whole
    network first, in groups of ``round_to``, until at most ``macs_kept`` of the multiply-accumulates are left.
    ``example`` is one model input (1, 3, H, W); the layer that gives the class logits keeps its outputs.
    """
    before = multiply_accumulates(module, example)
    pruner = torch_pruning.pruner.BasePruner(
        module,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=0.75,  # no layer may lose more, or one that a residual needs is emptied
        iterative_steps=STEPS,
        round_to=round_to,
        ignored_layers=output_layers(module, example),
    )
    after = before
    for _ in range(STEPS):
        if after <= macs_kept * before:
            break
        pruner.step()
        after = multiply_accumulates(module, example)
    return before, after


def output_layers(module: nn.Module, example: Tensor) -> list[nn.Module]:
    """The linear layers whose number of outputs is the model's: they keep all of them."""
    with torch.no_grad():
        classes = module(example).shape[1]
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear) and layer.out_features == classes]


def multiply_accumulates(module: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of the convolutions and linear layers for one input.

    A 3x3 convolution from 2 to 4 channels with 5x5 outputs: 3 · 3 · 2 · 4 · 25 = 1,800.
    """
    total = 0

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal total
        positions = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        total += layer.weight.numel() * positions  # type: ignore[operator]

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return total
