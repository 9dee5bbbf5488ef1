"""Count the work of more published networks: those of ncnn's benchmark, which Paddle-Lite's tables partly share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from architectures import (
    V3_LARGE,
    V3_SMALL,
    head,
    invert,
    mobilenet_v1,
    mobilenet_v2,
    resnet,
    vgg16,
)
from light_architectures import blazeface, shufflenet, shufflenet_v2
from network import Network, Work

# Multiply-accumulates (millions) that papers and model zoos print for the networks that are counted here.
MORE_KNOWN = {
    "mobilenet_v3_large": 219,
    "mobilenet_v3_small": 60,
    "mnasnet": 325,
    "proxylessnasnet": 320,
    "efficientnet_b0": 390,
    "efficientnetv2_b0": 720,
    "regnety_400m": 400,
    "googlenet": 1500,
    "alexnet": 720,
    "shufflenet": 140,
    "shufflenet_v2": 146,
    "vision_transformer": 12700,
}
B0 = (
    *((1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2)),
    *((6, 5, 112, 3, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)),
)
MNAS = (
    *((3, 3, 24, 3, 2), (3, 5, 40, 3, 2), (6, 5, 80, 3, 2), (6, 3, 96, 2, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)),
)
PROXYLESS = (  # expansion, kernel, channels, stride
    *((3, 5, 32, 2), (3, 3, 32, 1), (3, 7, 40, 2), (3, 3, 40, 1), (3, 5, 40, 1), (3, 5, 40, 1)),
    *((6, 7, 80, 2), (3, 5, 80, 1), (3, 5, 80, 1), (3, 5, 80, 1), (6, 5, 96, 1), (3, 5, 96, 1), (3, 5, 96, 1)),
    *((3, 5, 96, 1), (6, 7, 192, 2), (6, 7, 192, 1), (3, 7, 192, 1), (3, 7, 192, 1), (6, 7, 320, 1)),
)
LARGE_KERNELS = (3, 3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5)
LARGE_SQUEEZED = {3, 4, 5, 10, 11, 12, 13, 14}
SMALL_KERNELS = (3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5)
SMALL_SQUEEZED = {0, 3, 4, 5, 6, 7, 8, 9, 10}
INCEPTION = (
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64)),
    *((128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)),
    *((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


def squeeze(net: Network, channels: float, reduced: float) -> None:
    """Squeeze and excitation: two dense layers on the mean, and a product."""
    net.dense += 2 * channels * reduced
    net.weights += 2 * channels * reduced
    net.move(6, channels, reads=2)


def mobile(net: Network, block: tuple[int, int, int], kernel: int, *, reduced: float = 0, swished: bool = True) -> None:
    """An inverted residual block (expanded, outputs, stride) with a squeeze.

    Swish is an operator of its own; ReLU is one just behind a squeeze.
    """
    inputs, (expanded, outputs, stride) = net.channels, block
    if expanded != inputs:
        net.convolve(expanded, 1)
        activate(net, swished=swished)
    net.filter(kernel, stride)
    if reduced:
        squeeze(net, expanded, reduced)
    activate(net, swished=swished or reduced > 0)
    net.convolve(outputs, 1)
    if stride == 1 and inputs == outputs:
        net.add()


def activate(net: Network, *, swished: bool = True) -> None:
    """An activation, where it isn't part of the operator before it."""
    if swished:
        net.move(1, net.channels)


def mobilenet_v3(
    blocks: Sequence[tuple[int, int, int]],
    kernels: Sequence[int],
    squeezed: set[int],
    tops: tuple[int, int],
    first_swish: int,
) -> Work:
    net = Network(224)
    net.convolve(16, 3, 2)
    activate(net)
    for index, (block, kernel) in enumerate(zip(blocks, kernels, strict=True)):
        reduced = block[0] // 4 if index in squeezed else 0
        mobile(net, block, kernel, reduced=reduced, swished=index >= first_swish)
    net.convolve(tops[0], 1)
    activate(net)
    net.size = 1
    net.convolve(tops[1], 1)
    return head(net, 1000)


def efficientnet_b0() -> Work:
    net = Network(224)
    net.convolve(32, 3, 2)
    activate(net)
    for expansion, kernel, channels, count, stride in B0:
        for index in range(count):
            inputs = net.channels
            block = inputs * expansion, channels, stride if index == 0 else 1
            mobile(net, block, kernel, reduced=max(1, inputs // 4))
    net.convolve(1280, 1)
    activate(net)
    return head(net, 1000)


def efficientnetv2_b0() -> Work:
    net = Network(224)
    net.convolve(32, 3, 2)
    activate(net)
    net.convolve(16, 3)
    activate(net)
    for channels in (32, 48):
        for index in range(2):
            net.convolve(net.channels * 4, 3, 2 if index == 0 else 1)
            activate(net)
            net.convolve(channels, 1)
            if index:
                net.add()
    for expansion, channels, count, stride in ((4, 96, 3, 2), (6, 112, 5, 1), (6, 192, 8, 2)):
        for index in range(count):
            inputs = net.channels
            mobile(net, (inputs * expansion, channels, stride if index == 0 else 1), 3, reduced=inputs // 4)
    net.convolve(1280, 1)
    activate(net)
    return head(net, 1000)


def mnasnet() -> Work:
    net = Network(224)
    net.convolve(32, 3, 2)
    net.filter(3)
    net.convolve(16, 1)
    for expansion, kernel, channels, count, stride in MNAS:
        for index in range(count):
            invert(net, net.channels * expansion, channels, stride if index == 0 else 1, kernel)
    net.convolve(1280, 1)
    return head(net, 1000)


def proxylessnas() -> Work:
    net = Network(224)
    net.convolve(32, 3, 2)
    net.filter(3)
    net.convolve(32, 1)  # twice as much as the next block expands
    for index, (expansion, kernel, channels, stride) in enumerate(PROXYLESS):
        invert(net, net.channels * expansion if index else 48, channels, stride, kernel)
    net.convolve(1280, 1)
    return head(net, 1000)


def regnety_400m() -> Work:
    net = Network(224)
    net.convolve(32, 3, 2)
    for width, depth in ((48, 1), (104, 3), (208, 6), (440, 6)):
        for index in range(depth):
            inputs, size = net.channels, net.size
            net.convolve(width, 1)
            net.convolve(width, 3, 2 if index == 0 else 1, groups=width // 8)
            squeeze(net, width, inputs / 4)
            net.convolve(width, 1)
            if index == 0:
                shortcut = Network(size, inputs)
                shortcut.convolve(width, 1, 2)
                net.join(shortcut)
            net.add()
            activate(net)
    return head(net, 1000)


def normalize(net: Network) -> None:
    """Local response normalization: each value by its neighbours in five channels."""
    net.move(1, net.channels, reads=5)


def googlenet() -> Work:
    net = Network(224)
    net.convolve(64, 7, 2)
    net.pool(3, 2)
    normalize(net)
    net.convolve(64, 1)
    net.convolve(192, 3)
    normalize(net)
    net.pool(3, 2)
    for index, (one, reduced, three, five_reduced, five, pooled) in enumerate(INCEPTION):
        if index in (2, 7):
            net.pool(3, 2)
        start = net.branch()
        start.pool(3, 1)
        for steps in (((one, 1),), ((reduced, 1), (three, 3)), ((five_reduced, 1), (five, 5)), ((pooled, 1),)):
            path = net.branch()
            for outputs, kernel in steps:
                path.convolve(outputs, kernel)
            start.join(path)
        net.join(start)
        net.channels = one + three + five + pooled
        net.move(1, net.channels)
    return head(net, 1000)


def alexnet() -> Work:
    net = Network(227)
    net.convolve(96, 11, 4, padding=0)
    normalize(net)
    net.pool(3, 2, padding=0)
    net.convolve(256, 5, 1, groups=2)
    normalize(net)
    net.pool(3, 2, padding=0)
    net.convolve(384, 3)
    net.convolve(384, 3, 1, groups=2)
    net.convolve(256, 3, 1, groups=2)
    net.pool(3, 2, padding=0)
    for outputs in (4096, 4096, 1000):
        net.connect(outputs)
    return net.work()


def vision_transformer() -> Work:
    tokens, width, layers = 145, 768, 12
    blocks = layers * 12 * width * width
    dense = tokens * blocks + 2 * layers * tokens * tokens * width + width * 1000
    patches = 144 * 32 * 32 * 3 * width
    return Work(
        patches,
        0,
        dense,
        blocks + 32 * 32 * 3 * width + width * 1000,
        layers * 18 + 4,
        layers * tokens * 14 * width,
        patches,
        read=layers * tokens * 20 * width,
    )


MORE: dict[str, Callable[[], Work]] = {
    "mobilenet": lambda: mobilenet_v1(1.0, 224),
    "mobilenet_v2": lambda: mobilenet_v2(1.0, 224),
    "mobilenet_v3_large": lambda: mobilenet_v3(V3_LARGE, LARGE_KERNELS, LARGE_SQUEEZED, (960, 1280), 6),
    "mobilenet_v3_small": lambda: mobilenet_v3(V3_SMALL, SMALL_KERNELS, SMALL_SQUEEZED, (576, 1024), 3),
    "mnasnet": mnasnet,
    "proxylessnasnet": proxylessnas,
    "efficientnet_b0": efficientnet_b0,
    "efficientnetv2_b0": efficientnetv2_b0,
    "regnety_400m": regnety_400m,
    "shufflenet": shufflenet,
    "shufflenet_v2": shufflenet_v2,
    "googlenet": googlenet,
    "alexnet": alexnet,
    "blazeface": blazeface,
    "vision_transformer": vision_transformer,
    "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False, caffe=True),
    "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True, caffe=True),
    "vgg16": vgg16,
}
