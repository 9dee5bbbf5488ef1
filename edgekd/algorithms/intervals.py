"""Arithmetic on (point, lower, upper) triples of positive quantities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Bounds(NamedTuple):
    """A positive point and the bounds around it."""

    point: float
    lower: float
    upper: float


ONE = Bounds(1.0, 1.0, 1.0)


def exact(value: float) -> Bounds:
    """A quantity without doubt."""
    return Bounds(value, value, value)


def add(terms: Sequence[Bounds]) -> Bounds:
    """Sum of quantities whose errors may all go the same way: bounds are added, never combined in quadrature.

    >>> add([Bounds(2.0, 1.0, 3.0), Bounds(10.0, 5.0, 20.0)])
    Bounds(point=12.0, lower=6.0, upper=23.0)
    """
    return Bounds(*(math.fsum(side) for side in zip(*terms, strict=True)))


def multiply(first: Bounds, second: Bounds) -> Bounds:
    """Product of positive quantities whose errors may go the same way.

    >>> multiply(Bounds(2.0, 1.0, 4.0), Bounds(3.0, 1.0, 5.0))
    Bounds(point=6.0, lower=1.0, upper=20.0)
    """
    return Bounds(first.point * second.point, first.lower * second.lower, first.upper * second.upper)


def combine(factors: Sequence[Bounds]) -> Bounds:
    """Product of factors whose errors are independent: the distances in log are combined in quadrature, by side.

    ln(upper / point) = sqrt(sum ln(upper_i / point_i)^2), and the same below; exact for independent log-normal
    factors with equal coverage.

    >>> combine([Bounds(1.0, 0.5, 2.0), ONE])
    Bounds(point=1.0, lower=0.5, upper=2.0)

    Raises:
        ValueError: a bound that is not positive, or not on its side of the point.

    """
    for factor in factors:
        if not 0 < factor.lower <= factor.point <= factor.upper:
            raise ValueError(f"found {factor}, expected 0 < lower <= point <= upper")
    point = math.prod(factor.point for factor in factors)
    below = math.hypot(*(math.log(factor.point / factor.lower) for factor in factors))
    above = math.hypot(*(math.log(factor.upper / factor.point) for factor in factors))
    return Bounds(point, point * math.exp(-below), point * math.exp(above))


def hull(first: Bounds, second: Bounds) -> Bounds:
    """The point of ``first`` in an interval that holds both.

    >>> hull(Bounds(2.0, 1.0, 3.0), Bounds(9.0, 2.0, 10.0))
    Bounds(point=2.0, lower=1.0, upper=10.0)
    """
    return Bounds(first.point, min(first.lower, second.lower), max(first.upper, second.upper))


def ascending(values: Sequence[Bounds]) -> list[Bounds]:
    """Raise each side to that of the value before it: a higher percentile is never below a lower one.

    >>> ascending([Bounds(2.0, 1.0, 3.0), Bounds(2.5, 0.8, 2.9)])[1]
    Bounds(point=2.5, lower=1.0, upper=3.0)
    """
    raised: list[Bounds] = []
    for value in values:
        before = raised[-1] if raised else value
        raised.append(Bounds(*(max(sides) for sides in zip(before, value, strict=True))))
    return raised
