"""The work of a network, added up layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LEAST_WINOGRAD_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Work:
    """What one inference of a network does: multiply-accumulates by kind, weights read, operators started."""

    conv_macs: float
    depthwise_macs: float
    dense_macs: float
    weights: float
    operators: float
    values: float = 0.0  # written by operators, in elements
    wide_macs: float = 0.0  # the share of conv_macs in kernels larger than 1 x 1
    winograd_macs: float = 0.0  # the share of wide_macs that Winograd's algorithm may more than halve
    read: float = 0.0  # by operators, without weights, in elements
    transformed: float = 0.0  # read or written by the convolutions of winograd_macs, which transform both
    unpacked_macs: float = 0.0  # the share of conv_macs whose channels don't fill vectors of four

    @property
    def macs(self) -> float:
        """All multiply-accumulates."""
        return self.conv_macs + self.depthwise_macs + self.dense_macs


COUNTED = (  # in the order of Work
    *("conv", "depthwise", "dense", "weights", "operators", "values"),
    *("wide", "winograd", "read", "transformed", "unpacked"),
)


class Network:
    """Adds up layers while it follows the resolution and the channels."""

    def __init__(self, size: int, channels: int = 3) -> None:
        self.size, self.channels = size, channels
        self.conv = self.depthwise = self.dense = self.weights = self.operators = self.wide = self.values = 0.0
        self.winograd = self.read = self.transformed = self.unpacked = 0.0

    def convolve(
        self, outputs: int, kernel: int, stride: int = 1, padding: int | None = None, *, groups: int = 1
    ) -> None:
        """A convolution over all channels of a group; ``padding`` None keeps the size ('same')."""
        read = self.channels * self.size**2
        self.read += read
        self._resize(kernel, stride, padding)
        weights = kernel * kernel * self.channels // groups * outputs
        macs = weights * self.size**2
        self.conv += macs
        self.wide += macs if kernel > 1 else 0.0
        if (kernel, stride, groups) == (3, 1, 1) and min(self.channels, outputs) >= LEAST_WINOGRAD_CHANNELS:
            self.winograd += macs
            self.transformed += read + outputs * self.size**2
        if outputs // groups % 4 or (groups > 1 and self.channels // groups % 4):
            self.unpacked += macs
        self.weights += weights
        self.channels, self.operators = outputs, self.operators + 1
        self.values += outputs * self.size**2

    def filter(self, kernel: int, stride: int = 1) -> None:
        """A depthwise convolution."""
        self.read += self.channels * self.size**2
        self._resize(kernel, stride, None)
        weights = kernel * kernel * self.channels
        self.depthwise += weights * self.size**2
        self.weights, self.operators = self.weights + weights, self.operators + 1
        self.values += self.channels * self.size**2

    def pool(self, kernel: int, stride: int, padding: int | None = None, *, up: bool = False) -> None:
        """A pooling layer; ``up`` rounds the size up, as Caffe's do."""
        self.read += self.channels * self.size**2
        rest = up and padding is not None and (self.size + 2 * padding - kernel) % stride > 0
        self._resize(kernel, stride, padding)
        self.size += 1 if rest else 0
        self.operators += 1
        self.values += self.channels * self.size**2

    def add(self) -> None:
        """An addition, a concatenation or another operator without weights."""
        self.move(1, self.channels, reads=2)

    def move(self, operators: int, channels: float, *, reads: float = 1.0) -> None:
        """Operators that write ``channels`` of the plane in all, and read ``reads`` times as much."""
        self.operators += operators
        self.values += channels * self.size**2
        self.read += reads * channels * self.size**2

    def connect(self, outputs: int) -> None:
        """Mean over the plane when there still is one, then a fully connected layer."""
        weights = self.channels * self.size**2 * outputs
        self.dense, self.weights = self.dense + weights, self.weights + weights
        self.size, self.channels, self.operators = 1, outputs, self.operators + 1

    def join(self, branch: Network) -> None:
        """Count what another path did; resolution and channels stay those of this one."""
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + getattr(branch, name))

    def branch(self) -> Network:
        """A path that starts where this one is."""
        return Network(self.size, self.channels)

    def work(self) -> Work:
        """The totals."""
        return Work(*(getattr(self, name) for name in COUNTED))

    def _resize(self, kernel: int, stride: int, padding: int | None) -> None:
        if padding is None:
            self.size = math.ceil(self.size / stride)
        else:
            self.size = (self.size + 2 * padding - kernel) // stride + 1


def compare_counts(made: Mapping[str, Callable[[], Work]], published: Mapping[str, float]) -> None:
    """Compare the multiply-accumulates of ``made`` networks with ``published`` ones, in millions.

    Raises:
        ValueError: one is off by more than 8 %.

    """
    for model, expected in published.items():
        found = made[model]().macs / 1e6
        if abs(found / expected - 1) > 0.08:
            raise ValueError(f"{model}: counted {found:.1f} M, published {expected} M")
