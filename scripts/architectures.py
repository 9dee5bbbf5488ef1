"""Count the work of published networks from the tables in their papers, so that published latencies can be fitted.

Each network is the sum of its layers; the counts are checked in ``KNOWN_MACS`` against those that the papers print.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from network import Network, Work

# Multiply-accumulates (millions) as published: arXiv 1704.04861, 1801.04381, 1905.02244 (minimalistic: the model
# zoo's table), 1512.03385, 1409.1556 and the EfficientNet-Lite table; squeezenet1.1 is the authors' "0.35 G".
KNOWN_MACS = {
    "mobilenet_v1_1.0_224": 569,
    "mobilenet_v1_0.25_128": 14,
    "mobilenet_v2_1.0_224": 300,
    "mobilenet_v3_large_minimal_224": 209,
    "efficientnet_lite0": 407,
    "efficientnet_lite4": 2640,
    "resnet18_224": 1820,
    "resnet50_224": 3860,
    "vgg16_224": 15470,
    "squeezenet1.1_227": 355,
}
V2_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
LITE_KERNELS = (3, 3, 5, 3, 5, 5, 3)
LITE_BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 40, 2, 2),
    (6, 80, 3, 2),
    (6, 112, 3, 1),
    (6, 192, 4, 2),
    (6, 320, 1, 1),
)
LITE_SCALES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300))
V3_LARGE = (
    *((16, 16, 1), (64, 24, 2), (72, 24, 1), (72, 40, 2), (120, 40, 1), (120, 40, 1), (240, 80, 2), (200, 80, 1)),
    *((184, 80, 1), (184, 80, 1), (480, 112, 1), (672, 112, 1), (672, 160, 2), (960, 160, 1), (960, 160, 1)),
)
V3_SMALL = (
    *((16, 16, 2), (72, 24, 2), (88, 24, 1), (96, 40, 2), (240, 40, 1), (240, 40, 1)),
    *((120, 48, 1), (144, 48, 1), (288, 96, 2), (576, 96, 1), (576, 96, 1)),
)


def eighths(channels: float) -> int:
    """Round to a multiple of 8, never down by more than a tenth (as the MobileNet papers' code does)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def head(net: Network, classes: int) -> Work:
    net.size = 1
    net.operators += 2  # the mean before and the softmax after
    net.connect(classes)
    return net.work()


def mobilenet_v1(width: float, size: int) -> Work:
    net = Network(size)
    net.convolve(int(32 * width), 3, 2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in plan:
        net.filter(3, stride)
        net.convolve(int(channels * width), 1)
    return head(net, 1001)


def invert(net: Network, expanded: int, outputs: int, stride: int, kernel: int) -> None:
    """An inverted residual block: expand, filter, project and, where it fits, add."""
    inputs = net.channels
    if expanded != inputs:
        net.convolve(expanded, 1)
    net.filter(kernel, stride)
    net.convolve(outputs, 1)
    if stride == 1 and inputs == outputs:
        net.add()


def mobilenet_v2(width: float, size: int) -> Work:
    return head(mobilenet_v2_body(width, size), 1001)


def mobilenet_v2_body(width: float, size: int) -> Network:
    net = Network(size)
    net.convolve(eighths(32 * width), 3, 2)
    for expansion, channels, count, stride in V2_BLOCKS:
        for index in range(count):
            invert(net, net.channels * expansion, eighths(channels * width), stride if index == 0 else 1, 3)
    net.convolve(eighths(1280 * max(1.0, width)), 1)
    return net


def mobilenet_v3_minimal(blocks: Sequence[tuple[int, int, int]], top: int, last: int) -> Work:
    net = Network(224)
    net.convolve(16, 3, 2)
    for expanded, outputs, stride in blocks:
        invert(net, expanded, outputs, stride, 3)
    net.convolve(top, 1)
    net.size = 1
    net.convolve(last, 1)
    return head(net, 1001)


def efficientnet_lite(level: int) -> Work:
    width, depth, size = LITE_SCALES[level]
    net = Network(size)
    net.convolve(32, 3, 2)
    for position, (expansion, channels, count, stride) in enumerate(LITE_BLOCKS):
        repeats = count if position in (0, 6) else math.ceil(count * depth)
        for index in range(repeats):
            outputs = eighths(channels * width)
            invert(net, net.channels * expansion, outputs, stride if index == 0 else 1, LITE_KERNELS[position])
    net.convolve(1280, 1)
    return head(net, 1000)


def resnet(counts: Sequence[int], *, bottleneck: bool, caffe: bool = False) -> Work:
    """``caffe``: as its model zoo has them, with a shortcut that projects in the first block and activations apart."""
    net = Network(224)
    net.convolve(64, 7, 2)
    net.pool(3, 2)
    for stage, count in enumerate(counts):
        for index in range(count):
            first = index == 0 and (caffe or bottleneck or stage > 0)
            _residual(net, 64 * 2**stage, 2 if stage > 0 and index == 0 else 1, bottleneck=bottleneck, project=first)
            if caffe:
                net.move(1, net.channels)
    return head(net, 1000)


def _residual(net: Network, width: int, stride: int, *, bottleneck: bool, project: bool) -> None:
    inputs, size, outputs = net.channels, net.size, width * 4 if bottleneck else width
    if bottleneck:
        net.convolve(width, 1, stride)
    net.convolve(width, 3, 1 if bottleneck else stride)
    net.convolve(outputs, 1 if bottleneck else 3)
    if project:
        shortcut = Network(size, inputs)
        shortcut.convolve(outputs, 1, stride)
        net.join(shortcut)
    net.add()


def vgg16() -> Work:
    net = Network(224)
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            net.convolve(width, 3)
        net.pool(2, 2)
    for outputs in (4096, 4096, 1000):
        net.connect(outputs)
    return net.work()


def fire(net: Network, squeeze: int) -> None:
    """A squeezing convolution, two that expand its output, and their concatenation."""
    net.convolve(squeeze, 1)
    pointwise = net.branch()
    pointwise.convolve(squeeze * 4, 1)
    net.join(pointwise)
    net.convolve(squeeze * 4, 3)
    net.channels = squeeze * 8
    net.move(1, net.channels)


def squeezenet() -> Work:
    net = Network(227)
    net.convolve(64, 3, 2, padding=0)
    for squeeze, pooled in (
        (16, True),
        (16, False),
        (32, True),
        (32, False),
        (48, True),
        (48, False),
        (64, False),
        (64, False),
    ):
        if pooled:
            net.pool(3, 2, padding=0)
        fire(net, squeeze)
    net.convolve(1000, 1)
    net.pool(net.size, net.size)
    return net.work()


FIXED: dict[str, Callable[[], Work]] = {
    "mobilenet_v3_large_minimal_224": lambda: mobilenet_v3_minimal(V3_LARGE, 960, 1280),
    "mobilenet_v3_small_minimal_224": lambda: mobilenet_v3_minimal(V3_SMALL, 576, 1024),
    "resnet18_224": lambda: resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50_224": lambda: resnet((3, 4, 6, 3), bottleneck=True),
    "vgg16_224": vgg16,
    "squeezenet1.1_227": squeezenet,
}


def work_of(model: str) -> Work:
    """The work of the network named as in the table of published latencies."""
    if model in FIXED:
        return FIXED[model]()
    if lite := re.fullmatch(r"efficientnet_lite(\d)", model):
        return efficientnet_lite(int(lite[1]))
    found = re.fullmatch(r"mobilenet_(v[12])_([\d.]+)_(\d+)", model)
    if found is None:
        raise ValueError(f"found the network {model!r}, expected one that is described here")
    build = mobilenet_v1 if found[1] == "v1" else mobilenet_v2
    return build(float(found[2]), int(found[3]))


def family_of(model: str) -> str:
    """The family, which is left out as a whole when errors are measured."""
    found = re.match(r"mobilenet_v\d|efficientnet|resnet|vgg|squeezenet", model)
    return found[0] if found else model


def check_counts() -> None:
    """Compare the counts with the published ones.

    Raises:
        ValueError: one is off by more than 6 % (papers differ in whether they count the classifier).

    """
    for model, expected_millions in KNOWN_MACS.items():
        counted = work_of(model).macs / 1e6
        if abs(counted / expected_millions - 1) > 0.06:
            raise ValueError(f"{model}: counted {counted:.1f} M, published {expected_millions} M")
