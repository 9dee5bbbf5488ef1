"""Multiply-accumulates of the ONNX operators that multiply, from shapes."""

from __future__ import annotations

from collections.abc import Callable

from edgekd.runtimes.graph import elements


def _convolution(out: tuple[int, ...], weights: tuple[int, ...]) -> int:
    """Every output value is a product with one filter: weights (outputs, inputs per group, height, width)."""
    return elements(out) * elements(weights[1:])


def _transposed(out: tuple[int, ...], weights: tuple[int, ...]) -> int:
    """Strides make the output larger than the input; without them this is exact, with them an upper bound."""
    return elements(out) * weights[0] * elements(weights[2:])


def _product(out: tuple[int, ...], left: tuple[int, ...]) -> int:
    """(…, m, k) times (…, k, n): every output value is a product of length k."""
    return elements(out) * left[-1]


def _gemm(out: tuple[int, ...], weights: tuple[int, ...]) -> int:
    """The same for Gemm, whose right matrix may be stored transposed: k is what is left of it beside n."""
    return elements(out) * (elements(weights) // out[-1])


def _attention(out: tuple[int, ...], key: tuple[int, ...]) -> int:
    """Out (B, m, heads * width), keys (B, n, heads * width): every query meets every key, and every weight a value."""
    return 2 * elements(out) * key[1]


# For each operator that multiplies: the input whose shape counts, and the multiply-accumulates.
COUNTED: dict[str, tuple[int, Callable[[tuple[int, ...], tuple[int, ...]], int]]] = {
    "Conv": (1, _convolution),
    "ConvInteger": (1, _convolution),
    "QLinearConv": (3, _convolution),
    "ConvTranspose": (1, _transposed),
    "MatMul": (0, _product),
    "MatMulInteger": (0, _product),
    "MatMulIntegerToFloat": (0, _product),
    "MatMulNBits": (0, _product),
    "DynamicQuantizeMatMul": (0, _product),
    "QLinearMatMul": (0, _product),
    "MultiHeadAttention": (1, _attention),
    "Gemm": (1, _gemm),
}
