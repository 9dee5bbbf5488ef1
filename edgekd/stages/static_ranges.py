"""What static quantization knows of activations: their histograms, and the ranges that methods make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from edgekd.algorithms.ranges import Histogram, Range

LEARNED = "learned"
MOST_NAMED = 5
UNSTABLE = 0.25  # of the range: half of the calibration set says something else than the other


@dataclass(frozen=True)
class Observed:
    """Histograms of every tensor, of the whole calibration set, and how far its two halves disagree.

    ``learned`` has the ranges that a tensor got in training, where there was one for it.
    """

    METHODS: ClassVar[tuple[str, ...]] = ("min-max", "percentile", "entropy", "mse")
    tensors: Mapping[str, Histogram]
    disagreements: Mapping[str, float]
    learned: Mapping[str, Range] = field(default_factory=dict)

    @classmethod
    def of(cls, even: Mapping[str, Histogram], odd: Mapping[str, Histogram]) -> Observed:
        """Put the halves of a calibration set together."""
        from edgekd.algorithms.ranges import disagreement, merged

        apart = {name: disagreement(even[name], odd[name]) for name in even}
        return cls({name: merged(even[name], odd[name]) for name in even}, apart)

    def methods(self, wanted: str) -> Sequence[str]:
        """The candidates: the weights were trained for the learned ranges, so with these others are tried if named."""
        if not self.learned:
            return self.METHODS
        return (LEARNED,) if wanted == "auto" else (LEARNED, *self.METHODS)

    def ranges(self, method: str) -> dict[str, Range]:
        """Every tensor's range by one method; 'learned' leaves those that were not to their extremes."""
        from edgekd.algorithms import ranges

        if method == LEARNED:
            return {**self.ranges("min-max"), **self.learned}
        return {name: ranges.METHODS[method](histogram) for name, histogram in self.tensors.items()}

    def unstable(self) -> dict[str, float]:
        """The tensors whose range a few rows decide, the worst first."""
        worst = sorted(self.disagreements.items(), key=lambda item: -item[1])[:MOST_NAMED]
        return {name: round(apart, 3) for name, apart in worst if apart > UNSTABLE}
