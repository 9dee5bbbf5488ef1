"""Count the work of networks of few multiply-accumulates, where moving values takes as long as multiplying them.

Operators that stand beside convolutions are those of the files in ncnn's benchmark/.
"""

from __future__ import annotations

from collections.abc import Sequence

from architectures import head
from network import Network, Work


def blazeface() -> Work:
    net = Network(128)
    net.convolve(24, 5, 2)
    net.move(1, 24)
    for channels, stride in (
        *((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1)),
        *((72, 1), (80, 1), (88, 1), (96, 2), *[(96, 1)] * 4),
    ):
        _bounce(net, channels, stride)
    return net.work()


def _bounce(net: Network, channels: int, stride: int) -> None:
    """A block of BlazeFace: its input, padded to more channels and pooled, is added to what it filters."""
    inputs = net.channels
    passed = net.branch()
    if stride == 2:
        passed.move(1, inputs)
        passed.pool(2, 2)
    if channels != inputs:
        passed.move(1, channels)
    net.filter(3, stride)
    net.convolve(channels, 1)
    net.add()
    net.move(1, channels)  # the activation
    net.join(passed)


def shufflenet() -> Work:
    net = Network(224)
    net.convolve(24, 3, 2)
    net.pool(3, 2)
    for stage, (width, count) in enumerate(((240, 4), (480, 8), (960, 4))):
        for index in range(count):
            first = index == 0
            inputs = net.channels
            outputs = width - inputs if first else width
            if first:
                path = net.branch()
                path.pool(3, 2)
                net.join(path)
            net.convolve(outputs // 4 if stage == 0 else width // 4, 1, 1, groups=1 if stage == 0 and first else 3)
            net.move(1, net.channels)  # the shuffle
            net.filter(3, 2 if first else 1)
            net.convolve(outputs, 1, 1, groups=3)
            net.channels = width
            net.move(2, 2 * width)  # the sum or the concatenation, and the activation
    return head(net, 1000)


def shuffle(net: Network, width: int, *, reduce: bool) -> None:
    """A block of ShuffleNetV2: half of the channels pass by, or all are filtered twice over where it reduces."""
    half = width // 2
    if reduce:
        branch = net.branch()
        branch.filter(3, 2)
        branch.convolve(half, 1)
        net.join(branch)
    else:
        net.channels = half
    net.convolve(half, 1)
    net.filter(3, 2 if reduce else 1)
    net.convolve(half, 1)
    net.channels = width
    net.move(3, 3 * width)  # the split, the concatenation, the shuffle


def shufflenet_v2_body(size: int, widths: Sequence[int]) -> Network:
    net = Network(size)
    net.convolve(24, 3, 2)
    net.pool(3, 2)
    for width, count in zip(widths, (4, 8, 4), strict=True):
        for index in range(count):
            shuffle(net, width, reduce=index == 0)
    return net


def shufflenet_v2() -> Work:
    net = shufflenet_v2_body(224, (116, 232, 464))
    net.convolve(1024, 1)
    return head(net, 1000)
