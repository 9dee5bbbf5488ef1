"""The recipes of text encoders: ranges as the file runs or fixed ones, with and without its outliers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

from edgekd.quantizers.products import LOOKED, Dense, most_sensitive_first
from edgekd.stages.quantizing import QuantizeConfig, Recipe
from edgekd.targets.isa import Isa
from edgekd.tasks.base import Arrays

NAMES = {  # of a recipe, by whether its ranges are fixed and its outliers taken out
    (False, True): "smoothed",
    (False, False): "dynamic",
    (True, True): "min-max, smoothed",
    (True, False): "min-max",
}


class Write(Protocol):
    """Writes a float file in INT8: ``fixed`` products with the ranges that they saw, others with ranges as it runs."""

    def __call__(
        self, source: Path, target: Path, isa: Isa, keep_float: Collection[str], fixed: Sequence[Dense], /
    ) -> None:
        """Write ``target``."""


@dataclass(frozen=True)
class Format:
    """INT8 of encoders as one format's quantizer realises it."""

    smooth: Callable[[Path, Path, Arrays], None]  # writes a float file without the outliers that the rows show
    watch: Callable[[Path, Arrays], Sequence[Dense]]  # a float file's products, with what they read for the rows
    write: Write


@dataclass(frozen=True)
class Source:
    """A float file, and the rows that show its ranges and outliers."""

    path: Path
    rows: Arrays
    form: Format

    @cached_property
    def products(self) -> Sequence[Dense]:
        """With what they read for all rows."""
        return self.form.watch(self.path, self.rows)

    def quantize(self, target: Path, isa: Isa, keep_float: Sequence[str], *, fixed: bool) -> None:
        """Write it in INT8."""
        products = [each for each in self.products if not each.stays_dynamic] if fixed else []
        self.form.write(self.path, target, isa, keep_float, products)

    def order(self, *, fixed: bool) -> list[str]:
        """Its products, the one first that loses most. Tables stay in INT8: a step for each row loses little."""
        some = {name: values[:LOOKED] for name, values in self.rows.items()}
        products = self.products if fixed else self.form.watch(self.path, some)
        lost = (lambda each: each.lost_as_static) if fixed else (lambda each: each.lost_dynamic)
        return most_sensitive_first(products, lost)


@dataclass(frozen=True)
class Encoder:
    """All recipes of a float file; what is written beside INT8 files goes into ``folder``."""

    source: Source
    config: QuantizeConfig
    folder: Path

    def recipes(self) -> list[Recipe]:
        """Dynamic and static ones. 'auto' tries one of the latter: on all-MiniLM-L6-v2 neither was closer nor faster.

        Of that model's 43 s of one processor in ONNX it is 8 s, and 15 of 47 s in TFLite.
        """
        smoothed = {"auto": (True, False), True: (True,), False: (False,)}[self.config.smooth]
        whole = self.config.mode == self.config.method == "auto"
        dynamic = [self._recipe(fixed=False, smoothed=each) for each in smoothed]
        return dynamic + [self._recipe(fixed=True, smoothed=each) for each in (smoothed[:1] if whole else smoothed)]

    def _recipe(self, *, fixed: bool, smoothed: bool) -> Recipe:
        mode = "static" if fixed else "dynamic"
        build = partial(self._build, fixed, smoothed)
        return Recipe(NAMES[fixed, smoothed], mode, build, lambda _: self._behind(smoothed).order(fixed=fixed))

    def _build(self, fixed: bool, smoothed: bool, target: Path, isa: Isa, keep_float: Sequence[str]) -> None:  # noqa: FBT001
        self._behind(smoothed).quantize(target, isa, keep_float, fixed=fixed)

    def _behind(self, smoothed: bool) -> Source:  # noqa: FBT001
        return self._smoothed if smoothed else self.source

    @cached_property
    def _smoothed(self) -> Source:
        """The same in float, without outliers."""
        path = self.folder / f"without-outliers{self.source.path.suffix}"
        self.source.form.smooth(self.source.path, path, self.source.rows)
        return replace(self.source, path=path)
