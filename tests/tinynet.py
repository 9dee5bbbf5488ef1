"""A teacher and a student for tiny.py: apart from it, because a build whose steps are all cached needs no torch."""

from __future__ import annotations

from pathlib import Path

import tiny
import torch
from safetensors.torch import save_file
from torch import nn


def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6())


class Net(nn.Module):
    def __init__(self, widths: tuple[int, ...], classes: int, stride: int) -> None:
        super().__init__()
        pairs = zip((3, *widths), widths, strict=False)
        self.features = nn.Sequential(*(block(a, b, stride if i == 0 else 2) for i, (a, b) in enumerate(pairs)))
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.classifier(self.features(images).mean((2, 3)))
        return out


def teacher(classes: int = 3) -> nn.Module:
    return Net((16, 24), classes, stride=1)


def student(classes: int = 3, width: int = 8) -> nn.Module:
    return Net((width, 2 * width), classes, stride=2)


def write_teacher(path: Path) -> None:
    """Train the teacher on the labels for a second or two, seeded, and save its weights."""
    from edgekd.tasks.image_classification import prepare

    torch.manual_seed(3)
    module, split = teacher(), tiny.data().train
    inputs, labels = torch.from_numpy(prepare(split.images)), torch.from_numpy(split.labels)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for step in range(60):
        rows = torch.arange(step % 4, tiny.TRAIN, 4)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    save_file(module.state_dict(), path)
