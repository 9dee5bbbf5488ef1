"""Count the work of published detectors: body, necks and heads.

SqueezeNet-SSD's layers are those of ncnn's benchmark, and so are the heads of mobilenet_yolo, mobilenetv2_yolov3 and
yolo-fastest-1.1. Others follow their papers and authors' code, and where authors print a total it is checked.
"""

from __future__ import annotations

from collections.abc import Callable

from architectures import fire, invert, mobilenet_v2_body
from light_architectures import shufflenet_v2_body
from more_architectures import MORE
from network import Network, Work

# Multiply-accumulates (millions) that authors print for detectors that are counted here.
KNOWN_DETECTORS = {"yolov4-tiny": 3455, "nanodet_m": 360, "yolo-fastestv2": 106, "yolo-fastest-1.1": 126}
MOBILENET_V1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *([(512, 1)] * 5),
    *((1024, 2), (1024, 1)),
)


def _mobilenet_v1_body(size: int) -> Network:
    net = Network(size)
    net.convolve(32, 3, 2)
    for channels, stride in MOBILENET_V1:
        net.filter(3, stride)
        net.convolve(channels, 1)
    return net


def boxes(net: Network, kernel: int, anchors: int) -> None:
    """The convolutions that say where boxes are and what is in them, beside the path."""
    for outputs in (4 * anchors, 21 * anchors):
        branch = net.branch()
        branch.convolve(outputs, kernel)
        branch.move(2, 2 * outputs)
        net.join(branch)
    net.operators += 1


def mobilenet_ssd() -> Work:
    net = Network(300)
    net.convolve(32, 3, 2)
    for channels, stride in MOBILENET_V1:
        if (channels, stride) == (1024, 2):
            boxes(net, 1, 3)
        net.filter(3, stride)
        net.convolve(channels, 1)
    boxes(net, 1, 6)
    for reduced, outputs in ((256, 512), (128, 256), (128, 256), (64, 128)):
        net.convolve(reduced, 1)
        net.convolve(outputs, 3, 2)
        boxes(net, 1, 6)
    net.operators += 7
    return net.work()


def mobilenet_yolo() -> Work:
    net = _mobilenet_v1_body(416)
    separable(net, 1024, 3)
    coarse = net.branch()
    coarse.convolve(125, 1)
    fine = net.branch()
    fine.size, fine.channels = 26, 512
    fine.filter(4)  # a transposed one, which doubles the plane
    fine.add()
    separable(fine, 1024, 3)
    fine.convolve(125, 1)
    net.join(coarse)
    net.join(fine)
    net.operators += 1
    return net.work()


def mobilenetv2_yolov3() -> Work:
    net = mobilenet_v2_body(1.0, 352)
    separable(net, 576, 3)
    coarse = net.branch()
    coarse.convolve(75, 1)
    fine = Network(22, 576)
    fine.move(2, 2 * 576)  # twice the plane
    separable(fine, 576, 3)
    fine.add()
    separable(fine, 576, 3)
    fine.convolve(75, 1)
    net.join(coarse)
    net.join(fine)
    net.operators += 1
    return net.work()


FASTEST = (  # expanded, outputs, stride, how often
    *((8, 4, 1, 1), (24, 8, 2, 1), (32, 8, 1, 2), (32, 8, 2, 1), (48, 8, 1, 2), (48, 16, 1, 1), (96, 16, 1, 4)),
    *((96, 24, 2, 1), (136, 24, 1, 4), (136, 48, 2, 1), (224, 48, 1, 5)),
)


def yolo_fastest() -> Work:
    net = Network(320)
    net.convolve(8, 3, 2)
    net.convolve(8, 1)
    net.filter(3)
    net.convolve(4, 1)
    for expanded, outputs, stride, count in FASTEST:
        for _ in range(count):
            invert(net, expanded, outputs, stride, 3)
    for kernel in (3, 5, 9):
        path = net.branch()
        path.pool(kernel, 1)
        net.join(path)
    net.channels = 192
    net.move(1, 192)
    net.convolve(96, 1)
    coarse, fine = net.branch(), Network(20, 120)
    fine.move(2, 96 + 120)  # twice the plane, beside the finer one
    for level in (coarse, fine):
        for _ in range(2):
            separable(level, level.channels, 5)
        level.convolve(255, 1)
        net.join(level)
    net.operators += 1
    return net.work()


def squeezenet() -> Work:
    net = _squeezenet_body(227, boxed=False)
    net.convolve(1000, 1, padding=1)
    net.pool(net.size, net.size)
    return net.work()


def _squeezenet_body(size: int, *, boxed: bool) -> Network:
    """Its poolings round up, as Caffe's do."""
    net = Network(size)
    net.convolve(64, 3, 2, padding=0)
    for index, squeezed in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if index in {0, 2, 4}:
            if boxed and index == 4:
                net.move(2, 2 * net.channels)
                boxes(net, 3, 4)
            net.pool(3, 2, padding=0, up=True)
        fire(net, squeezed)
    return net


def squeezenet_ssd() -> Work:
    net = _squeezenet_body(300, boxed=True)
    net.move(4, 2 * net.channels)
    boxes(net, 3, 6)
    for _ in range(2):
        net.pool(3, 2, padding=0, up=True)
        fire(net, 96)
        net.move(6, 2 * net.channels)
        boxes(net, 3, 6)
    for reduced, outputs, anchors in ((128, 256, 6), (64, 128, 4)):
        net.convolve(reduced, 1)
        net.convolve(outputs, 3, 2)
        net.operators += 4
        boxes(net, 3, anchors)
    net.operators += 7
    return net.work()


def yolov4_tiny() -> Work:
    net = Network(416)
    net.convolve(32, 3, 2)
    net.convolve(64, 3, 2)
    middle = net
    for width in (64, 128, 256):
        net.convolve(width, 3)
        net.channels = width // 2
        net.convolve(width // 2, 3)
        net.convolve(width // 2, 3)
        net.channels = width
        net.convolve(width, 1)
        middle = net.branch()
        net.channels = 2 * width
        net.move(4, 3.5 * width)  # half of the channels, two concatenations
        net.pool(2, 2)
    net.convolve(512, 3)
    net.convolve(256, 1)
    start = net.branch()
    start.convolve(128, 1)
    middle.channels = 384
    middle.move(2, 384)
    middle.convolve(256, 3)
    middle.convolve(255, 1)
    net.convolve(512, 3)
    net.convolve(255, 1)
    net.join(start)
    net.join(middle)
    return net.work()


def separable(net: Network, outputs: int, kernel: int) -> None:
    net.filter(kernel)
    net.convolve(outputs, 1)


def nanodet_m() -> Work:
    net = shufflenet_v2_body(320, (116, 232, 464))
    for size, channels in ((40, 116), (20, 232), (10, 464)):
        level = Network(size, channels)
        level.convolve(96, 1)
        level.move(3, 3 * 96)  # resizing and adding, down and up
        for _ in range(2):
            separable(level, 96, 3)
            level.move(2, 2 * 96)
        level.convolve(112, 1)
        level.move(5, 2 * 112)
        net.join(level)
    return net.work()


def yolo_fastestv2() -> Work:
    net = shufflenet_v2_body(352, (48, 96, 192))
    for size, channels in ((22, 288), (11, 192)):
        level = Network(size, channels)
        level.convolve(72, 1)
        for _ in range(2):
            branch = level.branch()
            for _ in range(2):
                separable(branch, 72, 5)
            branch.convolve(45, 1)
            branch.move(2, 90)
            level.join(branch)
        net.join(level)
    return net.work()


def fastest_det() -> Work:
    net = shufflenet_v2_body(352, (48, 96, 192))
    level = Network(22, 336)
    level.move(3, 336)
    level.convolve(96, 1)
    for count in (1, 2, 3):
        branch = level.branch()
        for _ in range(count):
            branch.filter(5)
        level.join(branch)
    level.channels = 288
    level.move(1, 288)
    level.convolve(96, 1)
    level.convolve(96, 1)
    for outputs in (1, 4, 80):
        branch = level.branch()
        separable(branch, outputs, 5)
        level.join(branch)
    net.join(level)
    net.operators += 5
    return net.work()


DETECTORS: dict[str, Callable[[], Work]] = {
    "mobilenet_ssd": mobilenet_ssd,
    "mobilenet_yolo": mobilenet_yolo,
    "mobilenetv2_yolov3": mobilenetv2_yolov3,
    "squeezenet": squeezenet,
    "squeezenet_ssd": squeezenet_ssd,
    "yolo-fastest-1.1": yolo_fastest,
    "yolov4-tiny": yolov4_tiny,
    "nanodet_m": nanodet_m,
    "yolo-fastestv2": yolo_fastestv2,
    "FastestDet": fastest_det,
}


def counted(model: str) -> Work | None:
    """The work of the network that ncnn's benchmark calls so; None where nothing is known of it."""
    build = {**MORE, **DETECTORS}.get(model)
    return build() if build else None
