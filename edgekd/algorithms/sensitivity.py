"""Which operators of an INT8 model lose most: by how much the error grows from what an operator reads to its output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator by its name in the file, with the names of the tensors that it reads and writes."""

    name: str
    inputs: tuple[str, ...]
    output: str


def relative_errors(
    rows: Iterable[tuple[Mapping[str, npt.NDArray[Any]], Mapping[str, npt.NDArray[Any]]]],
) -> dict[str, float]:
    """Return sum ||q - x||^2 / sum ||x||^2 of each tensor over ``rows``: pairs of a row's float and INT8 tensors.

    Tensors that only one of the two has are left out; a tensor that is zero everywhere has the error 0.

    >>> row = {"a": np.array([3.0, 4.0])}, {"a": np.array([3.0, 3.0]), "b": np.array([1.0])}
    >>> relative_errors([row, row])
    {'a': 0.04}
    """
    lost: dict[str, float] = {}
    size: dict[str, float] = {}
    for floats, quantized in rows:
        for name in floats.keys() & quantized.keys():
            exact = floats[name].astype(np.float64)
            lost[name] = lost.get(name, 0.0) + float(np.square(quantized[name] - exact).sum())
            size[name] = size.get(name, 0.0) + float(np.square(exact).sum())
    return {name: lost[name] / size[name] if size[name] else 0.0 for name in sorted(lost)}


def most_sensitive_first(operators: Sequence[Operator], errors: Mapping[str, float]) -> list[str]:
    """Return the operators' names by how much the relative error grows inside each, the largest growth first.

    The growth is that of the output above the largest of the inputs'; a constant has none. Equal ones keep their order.

    >>> chain = [Operator("a", ("x",), "y"), Operator("b", ("y",), "z")]
    >>> most_sensitive_first(chain, {"x": 0.0, "y": 0.01, "z": 0.05})
    ['b', 'a']
    """

    def growth(operator: Operator) -> float:
        return errors.get(operator.output, 0.0) - max((errors.get(name, 0.0) for name in operator.inputs), default=0.0)

    return [each.name for each in sorted(operators, key=growth, reverse=True)]
