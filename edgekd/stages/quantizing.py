"""What both quantizers share: options, and choosing among the files they make by measured quality and speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgekd.algorithms.agreement import Agreement, agreement, cosines, divergence
from edgekd.algorithms.bootstrap import mean, ratio_interval
from edgekd.algorithms.choosing import Candidate, fastest, fewest
from edgekd.algorithms.proportions import paired_floor
from edgekd.artifact import Artifact
from edgekd.errors import BadInputError, nearest
from edgekd.profile.measurement import Interval
from edgekd.profile.turns import Seconds, speed_up, take_turns
from edgekd.runtimes.feeding import single_rows
from edgekd.stages import calibration
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.targets.isa import Isa, host_isa
from edgekd.toml_file import Frozen

Granularity = Literal["per-channel", "per-tensor"]
Mode = Literal["auto", "static", "dynamic", "weight-only"]
Method = Literal["auto", "min-max", "percentile", "entropy", "mse", "learned", "dynamic", "smoothed", "weight-only"]
Io = Literal["float", "int8", "uint8"]
Wanted = Literal["auto", True, False]  # 'auto': tried, and kept where it comes closer to float
Runner = Callable[..., Any]
Build = Callable[[Path, Isa, Sequence[str]], None]  # writes the file, with these operators in float
Order = Callable[[Path], Sequence[str]]
MOST_TRIED = 8  # files with operators in float, however many there are


class QuantizeConfig(Frozen):
    """Options of a quantizer, the instruction set that will run the file, and the machine that times candidates."""

    mode: Mode = "auto"
    method: Method = "auto"
    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.01  # of the float student's quality
    granularity: Granularity = "per-channel"
    equalize: Wanted = "auto"
    correct_bias: Wanted = "auto"
    smooth: Wanted = "auto"
    keep_float: tuple[str, ...] = ()
    isa: Isa
    machine: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to quantize: files of one mode have the same operators, and so the same speed."""

    name: str
    mode: str
    build: Build
    order: Order | None = None  # of what it quantized, by how much is lost: these can return to float
    last_resort: bool = False  # tried where all others lose too much
    further: Mapping[str, Callable[[], Recipe]] = field(default_factory=dict)  # with one step more, by its name

    @property
    def method(self) -> str:
        """Its name without the steps on top."""
        return self.name.partition(", ")[0]


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate's file, and how close it is to the float model."""

    recipe: Recipe
    path: Path
    closeness: Agreement
    drop: Interval  # of the float model's quality, the share that is lost
    nearness: float  # what chooses among candidates that lose little: the higher, the closer to float


@dataclass(frozen=True)
class Bench:
    """Where candidates are tried: the float file, and rows that are neither calibration nor test."""

    source: Path
    rows: Artifact
    runner: Runner
    threads: int
    max_drop: float

    @cached_property
    def held_out(self) -> Sequence[Any]:
        """Single rows."""
        return list(single_rows([calibration.part(self.rows, "held_out")]))

    @cached_property
    def reference(self) -> npt.NDArray[Any]:
        """The float model's outputs on them.

        Raises:
            BadInputError: some are NaN or infinite.

        """
        found = self._outputs(self.source)
        broken = int((~np.isfinite(found)).any(1).sum())
        if broken:
            raise BadInputError(
                f"quantize: found outputs of the float model that are not finite, for {broken} of {len(found)} rows",
                "look for NaN or infinite weights; a lower learning rate may keep the training from diverging",
            )
        return found

    def trial(self, recipe: Recipe, path: Path) -> Trial:
        """Run what the recipe made."""
        outputs = self._outputs(path)
        return Trial(recipe, path, agreement(self.reference, outputs), self._drop(outputs), self._nearness(outputs))

    def time(self, paths: Iterable[Path]) -> Seconds:
        """The median seconds of each turn, (files, turns), on a row that costs what the largest costs."""
        row = calibration.part(self.rows, "representative")
        runners = [self.runner(path, self.threads) for path in paths]
        return take_turns([partial(runner.run, [row]) for runner in runners])

    def _outputs(self, path: Path) -> npt.NDArray[Any]:
        return np.asarray(self.runner(path, self.threads).run(self.held_out))

    def _nearness(self, outputs: npt.NDArray[Any]) -> float:
        """Of classes less the divergence of their probabilities, of vectors the cosine."""
        if calibration.labels(self.rows) is None:
            return float(cosines(self.reference, outputs).mean())
        return -divergence(self.reference, outputs)

    def _drop(self, outputs: npt.NDArray[Any]) -> Interval:
        """The share of the float model's accuracy that is lost, or without labels of its cosine to itself: of 1."""
        labels = calibration.labels(self.rows)
        if labels is None:
            near = cosines(self.reference, outputs)
            share = ratio_interval(mean, near, np.ones_like(near))
            return Interval(1.0 - share.point, 1.0 - share.upper, 1.0 - share.lower)
        scores, before = ((each.argmax(1) == labels).astype(np.float64) for each in (outputs, self.reference))
        base, kept = float(before.mean()) or 1.0, 1.0 - self.max_drop
        point, lower, upper = (kept + bound / base for bound in paired_floor(scores, before, kept))
        return Interval(1.0 - point, 1.0 - upper, 1.0 - lower)


def choose(
    recipes: Sequence[Recipe], runner: Runner, inputs: tuple[Artifact, ...], config: QuantizeConfig, context: Context
) -> Product:
    """Quantize by each of ``recipes``; keep the fastest that loses at most ``max_drop``, else the one that loses least.

    Speed is measured on this machine, where the files take turns with the float model. For another instruction set
    that is the speed of the same recipe made for this one. Every candidate stands in the facts.
    """
    bench = Bench(inputs[0].path, inputs[1], runner, context.threads, config.max_drop)
    first = [each for each in recipes if not each.last_resort] or recipes
    trials = []
    for number, recipe in enumerate(first, 1):
        trials.append(_tried(recipe, config, bench, context))
        context.progressed(number, len(first), recipe.name)
    steps = _with_steps(trials, config, bench, context)
    trials += [trial for trial, _ in steps]
    if not _good_enough(trials, config):
        trials += _with_operators_in_float(trials, config, bench, context)
    if not _good_enough(trials, config):
        trials += [_tried(each, config, bench, context) for each in recipes if each not in first]
    times = _times(trials, bench, config)
    facts = _chosen(trials, times, config)
    path = next(each.path for each in trials if each.recipe.name == facts["method"])
    facts |= {"steps": {trial.recipe.name: before for trial, before in steps}, "held_out": len(bench.held_out)}
    return Product(path.rename(context.scratch / f"model{path.suffix}"), facts)


def _good_enough(trials: Sequence[Trial], config: QuantizeConfig) -> bool:
    """Whether one isn't shown to lose too much: of 100 rows a single one is a percent."""
    return any(each.drop.lower <= config.max_drop for each in trials)


def _tried(recipe: Recipe, config: QuantizeConfig, bench: Bench, context: Context) -> Trial:
    path = context.scratch / f"{recipe.name}{bench.source.suffix}"
    recipe.build(path, config.isa, config.keep_float)
    return bench.trial(recipe, path)


def _with_steps(
    trials: Sequence[Trial], config: QuantizeConfig, bench: Bench, context: Context
) -> list[tuple[Trial, str]]:
    """Add one step after the other to the best; each with the name of what it was added to, which it may not better."""
    best, made = min(trials, key=partial(_away, config)), []
    for name in best.recipe.further:
        trial = _tried(best.recipe.further[name](), config, bench, context)
        context.progressed(len(trials), len(trials), trial.recipe.name)
        made.append((trial, best.recipe.name))
        best = min(best, trial, key=partial(_away, config))
    return made


def _away(config: QuantizeConfig, trial: Trial) -> tuple[bool, float]:
    """How far a trial is from float: of those that aren't shown to lose too much, the closest."""
    return trial.drop.lower > config.max_drop, -trial.nearness


def _with_operators_in_float(
    trials: Sequence[Trial], config: QuantizeConfig, bench: Bench, context: Context
) -> Sequence[Trial]:
    """Return operators of the candidate that lost least to float, the most sensitive first; how many, by bisection."""
    least = min((each for each in trials if each.recipe.order), key=lambda each: each.drop.point, default=None)
    if least is None or least.recipe.order is None:
        return []
    names = [name for name in least.recipe.order(least.path) if name not in config.keep_float]
    made: dict[int, Trial] = {}

    def holds(count: int) -> bool:
        build = partial(_build_with, least.recipe, tuple(names[:count]))
        mode = f"{least.recipe.mode}, {count} in float"
        made[count] = _tried(Recipe(f"{least.recipe.name}, {count} in float", mode, build), config, bench, context)
        context.progressed(len(made), MOST_TRIED, made[count].recipe.name)
        return made[count].drop.point <= config.max_drop

    fewest(len(names), holds)
    return list(made.values())


def _build_with(recipe: Recipe, more: tuple[str, ...], target: Path, isa: Isa, keep_float: Sequence[str]) -> None:
    recipe.build(target, isa, (*keep_float, *more))


def _times(trials: Sequence[Trial], bench: Bench, config: QuantizeConfig) -> dict[str, Seconds]:
    """The turns of the float model, and of a file of each mode."""
    files = {"float": bench.source}
    for trial in trials:
        if trial.recipe.mode not in files:
            files[trial.recipe.mode] = _for_this_machine(trial, config)
    return dict(zip(files, bench.time(files.values()), strict=True))


def _for_this_machine(trial: Trial, config: QuantizeConfig) -> Path:
    here = host_isa()
    if config.isa == here:
        return trial.path
    path = trial.path.with_stem(f"{trial.path.stem}-{here}")
    trial.recipe.build(path, here, config.keep_float)
    return path


def _chosen(trials: Sequence[Trial], times: Mapping[str, Seconds], config: QuantizeConfig) -> dict[str, Any]:
    seconds = {mode: float(np.median(turns)) for mode, turns in times.items()}
    found = [
        (
            Candidate(each.recipe.name, each.drop.point, each.nearness, seconds[each.recipe.mode]),
            each.drop.lower,
        )
        for each in trials
    ]
    candidates = [each for each, _ in found]
    maybe = [replace(each, drop=lower) for each, lower in found]  # not shown to lose more
    best = fastest(candidates, config.max_drop) or fastest(maybe, config.max_drop)
    best = best or min(candidates, key=lambda each: each.drop)
    drop = next(each.drop for each in candidates if each.name == best.name)
    mode = next(each.recipe.mode for each in trials if each.recipe.name == best.name)
    faster = speed_up(times["float"], times[mode])
    return {
        "method": best.name,
        "mode": mode,
        "candidates": {
            each.recipe.name: {
                **asdict(each.closeness),
                "nearness": each.nearness,
                "drop": asdict(each.drop),
                "latency_s": seconds[each.recipe.mode],
            }
            for each in trials
        },
        "max_drop": config.max_drop,
        "float_latency_s": seconds["float"],
        "faster": {**asdict(faster), "isa": host_isa()},
        "summary": f"{best.name}: {drop:.2%} of the quality lost, {faster.point:.2f}x as fast as float",
    }


def recipes_for(config: QuantizeConfig, known: Sequence[Recipe], runtime: str) -> Sequence[Recipe]:
    """Those of ``known`` that the pipeline leaves to choose from.

    Raises:
        BadInputError: this runtime's quantizer has no such method or mode for this model.

    """
    modes = dict.fromkeys(each.mode for each in known)
    if config.mode not in ("auto", *modes):
        raise BadInputError(f"quantize: found the mode {config.mode!r} for {runtime}", nearest(config.mode, modes))
    left = [each for each in known if config.mode in ("auto", each.mode)]
    names = dict.fromkeys(each.method for each in left)
    if config.method not in ("auto", *names):
        raise BadInputError(
            f"quantize: found the method {config.method!r} for {runtime}", nearest(config.method, names)
        )
    return [each for each in left if config.method in ("auto", each.method)]
