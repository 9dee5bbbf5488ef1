"""The recipes of static INT8: a way to set ranges each, and on top of it equalization and bias correction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from edgekd.algorithms.ranges import Histograms, Range
from edgekd.quantizers.layers import File, Means, Neighbours, correct_biases, equalize
from edgekd.stages.quantizing import QuantizeConfig, Recipe, Wanted
from edgekd.stages.static_ranges import Observed
from edgekd.targets.isa import Isa
from edgekd.tasks.base import Arrays

EQUALIZED, CORRECTED = "equalized", "bias corrected"
Steps = tuple[str, ...]


@dataclass(frozen=True)
class Format:
    """Static INT8 as one format's quantizer realises it."""

    halves: Callable[[Path, Arrays], tuple[Histograms, Histograms]]  # of what a float file's tensors hold
    write: Callable[[Path, Path, Mapping[str, Range], Isa, Sequence[str]], None]  # a float file in INT8
    order: Callable[[Path, Path, Arrays], Sequence[str]]  # of the float file's operators, by what an INT8 file loses
    layers: Callable[[Path], File]


@dataclass(frozen=True)
class Source:
    """A float file, the rows that set its ranges and biases, and the ranges that its tensors learned in training."""

    path: Path
    rows: Arrays
    form: Format
    learned: Mapping[str, Range] = field(default_factory=dict)

    @cached_property
    def observed(self) -> Observed:
        """What its tensors hold."""
        return replace(Observed.of(*self.form.halves(self.path, self.rows)), learned=self.learned)

    @cached_property
    def neighbours(self) -> Neighbours:
        """Which of its layers can be equalized."""
        return self.form.layers(self.path).neighbours()

    @cached_property
    def equalized(self) -> Source:
        """The same in float, beside it, with weights that are easier to round."""
        file, path = self.form.layers(self.path), self.path.with_stem("equalized")
        equalize(file)
        file.save(path)
        return replace(self, path=path)

    def quantize(self, method: str, target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
        """Write it in INT8."""
        self.form.write(self.path, target, self.observed.ranges(method), isa, keep_float)

    def corrected(self, method: str, target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
        """Write it in INT8, with biases that make up for what this does to weights."""
        self.quantize(method, target, isa, keep_float)
        file, path = self.form.layers(self.path), self.path.with_stem("corrected")
        correct_biases(file, file.rounded(target), self._mean_inputs)
        file.save(path)
        self.form.write(path, target, self.observed.ranges(method), isa, keep_float)

    def order(self, quantized: Path) -> Sequence[str]:
        """Its operators, the one first that loses most in ``quantized``."""
        return self.form.order(self.path, quantized, self.rows)

    @cached_property
    def _mean_inputs(self) -> Means:
        return self.form.layers(self.path).mean_inputs(self.rows)


@dataclass(frozen=True)
class Static:
    """All recipes of a float file: its copy in the step's own folder, as others are written beside it."""

    source: Source
    config: QuantizeConfig

    def recipes(self) -> list[Recipe]:
        """One for each way to set ranges, with the steps that the pipeline wants anyway."""
        always = tuple(step for step, wanted in self._wanted.items() if wanted is True)
        return [self._recipe(method, always) for method in self.source.observed.methods(self.config.method)]

    def facts(self) -> dict[str, Any]:
        """Tensors whose range few rows decide, and of which layers weights can be equalized."""
        found: dict[str, Any] = {"unstable": self.source.observed.unstable()}
        if self.config.equalize and not self.source.learned:
            neighbours = self.source.neighbours
            found["equalization"] = {"pairs": len(neighbours.pairs), "left": neighbours.left}
        return found

    @cached_property
    def _wanted(self) -> dict[str, Wanted]:
        """The steps that there can be, in their order: none where weights and ranges were trained for each other."""
        if self.source.learned:
            return {}
        equalize = self.config.equalize if self.config.equalize and self.source.neighbours.pairs else False
        return {EQUALIZED: equalize, CORRECTED: self.config.correct_bias}

    def _recipe(self, method: str, steps: Steps) -> Recipe:
        more = [step for step, wanted in self._wanted.items() if wanted == "auto" and step not in steps]
        return Recipe(
            ", ".join((method, *steps)),
            "static",
            partial(self._build, method, steps),
            lambda quantized: self._behind(steps).order(quantized),
            further={step: partial(self._recipe, method, (*steps, step)) for step in more},
        )

    def _build(self, method: str, steps: Steps, target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
        source = self._behind(steps)
        write = source.corrected if CORRECTED in steps else source.quantize
        write(method, target, isa, keep_float)

    def _behind(self, steps: Steps) -> Source:
        return self.source.equalized if EQUALIZED in steps else self.source
