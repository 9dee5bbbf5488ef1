"""A small residual convolutional network: the default teacher and, narrower, the default student.

Only 3x3 convolutions, batch normalisation, ReLU or ReLU6, additions, a mean and one linear layer:
each of them has an INT8 kernel in onnxruntime and in TFLite's XNNPACK.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalisation, activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: str) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            ACTIVATIONS[activation](),
        )


class Residual(nn.Module):
    """Two convolution blocks around which the input is carried: x + f(x)."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(width, width, 1, activation), ConvBlock(width, width, 1, activation))

    def forward(self, features: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        return features + self.body(features)  # type: ignore[no-any-return]


class ConvNet(nn.Module):
    """Stem, stages that halve the resolution, classifier.

    The classifier sees the mean over all positions, or, with a ``grid`` above 0, each position of the last map of
    ``grid`` x ``grid``: worth nearly a point where objects are centred, and one small convolution for INT8 kernels.
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks: Sequence[int],
        stem_stride: int,
        activation: str,
        classes: int,
        *,
        grid: int = 0,
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = [ConvBlock(3, widths[0], stem_stride, activation)]
        stages += [Residual(widths[0], activation) for _ in range(blocks[0])]
        for inputs, outputs, count in zip(widths, widths[1:], blocks[1:], strict=False):
            stages.append(ConvBlock(inputs, outputs, 2, activation))
            stages += [Residual(outputs, activation) for _ in range(count)]
        self.features = nn.Sequential(*stages)
        on_mean = nn.Linear(widths[-1], classes)
        self.classifier: nn.Module = nn.Conv2d(widths[-1], classes, grid) if grid else on_mean

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, classes)
        features = self.features(images)
        if isinstance(self.classifier, nn.Linear):
            return self.classifier(features.mean((2, 3)))  # type: ignore[no-any-return]
        return self.classifier(features).flatten(1)  # type: ignore[no-any-return]


def teacher(classes: int = 10) -> nn.Module:
    """The vendored teacher's architecture: 28.3 M multiply-accumulates at 28x28, 356 k weights."""
    return ConvNet((28, 56, 112), (0, 1, 1), stem_stride=1, activation="relu", classes=classes)


def student(classes: int = 10, widths: Sequence[int] = (24, 40, 96), grid: int = 4) -> nn.Module:
    """The default student: ReLU6, half the resolution from the first layer on; 2.5 M multiply-accumulates.

    ``grid`` is an eighth of the image size, rounded up: 4 for 28x28. 0 takes images of any size.
    """
    return ConvNet(widths, (0, 1, 0), stem_stride=2, activation="relu6", classes=classes, grid=grid)
