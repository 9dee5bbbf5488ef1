"""The default teacher and student: what the default pipeline promises of their size and their layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.algorithms.pruning import Wish, multiply_accumulates, prune_channels
from edgekd.models import convnet, loading
from edgekd.pipeline import load

EXAMPLE = torch.zeros(1, 3, 28, 28)
INT8_KERNELS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU6, nn.Linear)


def test_the_student_has_an_eighth_of_the_teachers_work_or_less() -> None:
    teacher, student = (multiply_accumulates(make().eval(), EXAMPLE) for make in (convnet.teacher, convnet.student))
    assert student * 8 <= teacher


def test_every_layer_of_the_student_has_an_int8_kernel() -> None:
    leaves = [layer for layer in convnet.student().modules() if not list(layer.children())]
    assert leaves
    assert all(isinstance(layer, INT8_KERNELS) for layer in leaves)


@pytest.mark.parametrize("make", [convnet.teacher, convnet.student])
def test_there_is_one_logit_a_class(make: type[nn.Module]) -> None:
    assert make(classes=7).eval()(EXAMPLE).shape == (1, 7)


def test_the_vendored_weights_fit_the_default_pipelines_teacher() -> None:
    pipeline = load("default")
    module = loading.build(loading.ModelSpec(pipeline.teacher.model, pipeline.teacher.options), "here")
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    weights = loading.read_weights(pipeline.file(str(pipeline.teacher.weights), "weights"), "here")
    assert {name: value.shape for name, value in weights.items()} == shapes


def test_the_student_can_be_pruned_and_keeps_its_classes() -> None:
    torch.manual_seed(0)
    module = convnet.student().eval()
    before, after = prune_channels(module, EXAMPLE, Wish(0.6))
    assert after <= 0.6 * before
    assert module(EXAMPLE).shape == (1, 10)
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    assert all(layer.out_channels % 8 == 0 for layer in convolutions if layer is not module.classifier)
