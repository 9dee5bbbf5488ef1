"""Build: run a plan's steps, each out of the store if it is there, then judge what they gave and report it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekd.artifact import Artifact
from edgekd.errors import EdgekdError, StageError
from edgekd.plan import Node, Plan
from edgekd.progress import Reporter
from edgekd.stages import STAGES
from edgekd.stages.base import Context
from edgekd.store import Product, Reading, Recipe, Store
from edgekd.toml_file import PACKAGED


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step of this build, and the artifact that it gave."""

    name: str
    cached: bool
    seconds: float
    artifact: Artifact


def run(plan: Plan, store: Store, reporter: Reporter) -> tuple[StepTaken, ...]:
    """Take every step of ``plan`` in order; each artifact is found in ``store`` or made and kept there."""
    made: dict[str, Artifact] = {}
    taken = []
    try:
        for node in plan.nodes:
            reporter.started(node.name)
            began = time.monotonic()
            recipe = recipe_of(node, plan, made)
            found = store.find(recipe.key)
            artifact = found or _make(node, plan, recipe, store, reporter, tuple(made[name] for name in node.inputs))
            made[node.name] = artifact
            step = StepTaken(node.name, found is not None, time.monotonic() - began, artifact)
            reporter.finished(step.name, step.seconds, str(artifact.facts.get("summary", "")), cached=step.cached)
            taken.append(step)
    finally:
        reporter.closed()
    return tuple(taken)


def cached_steps(plan: Plan, store: Reading) -> Iterator[tuple[Node, bool | None]]:
    """For each step, whether the store has it; None where that depends on a step that must run first."""
    made: dict[str, Artifact] = {}
    for node in plan.nodes:
        if not all(name in made for name in node.inputs):
            yield node, None
            continue
        found = store.find(recipe_of(node, plan, made).key)
        if found is not None:
            made[node.name] = found
        yield node, found is not None


def recipe_of(node: Node, plan: Plan, made: dict[str, Artifact]) -> Recipe:
    """All that decides what ``node`` makes."""
    stage = STAGES[node.stage]
    return Recipe(
        stage=node.stage,
        version=stage.VERSION,
        config=node.config.model_dump_json(exclude={"weights"}),  # the file's digest counts, not where it lies
        inputs=tuple(made[name].sha256 for name in node.inputs),
        data=plan.data.digest if stage.READS_DATA else "",
        seed=plan.pipeline.seed,
        libraries=tuple(f"{name}=={_version(name)}" for name in stage.LIBRARIES),
    )


def _make(
    node: Node, plan: Plan, recipe: Recipe, store: Store, reporter: Reporter, inputs: tuple[Artifact, ...]
) -> Artifact:
    stage = STAGES[node.stage]

    def work(scratch: Path) -> Product:
        context = Context(
            scratch=scratch,
            partial=store.partial(recipe.key),
            data=plan.data,
            seed=plan.pipeline.seed,
            threads=plan.options.threads,
            progressed=reporter.progressed,
        )
        return stage.run(inputs, node.config, context)

    try:
        return store.make(recipe, stage.PRODUCES, work)
    except EdgekdError:
        raise
    except Exception as error:
        if raised_in_edgekd(error):
            raise
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise StageError(f"the step {node.name!r} failed in a tool that it needs: {found}") from error


def raised_in_edgekd(error: BaseException) -> bool:
    """Whether edgekd's own code raised it, so that it is a bug here and not the failure of a tool."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and Path(frames[-1][0].f_code.co_filename).is_relative_to(PACKAGED)


@cache  # reading a distribution's metadata takes milliseconds, and every step asks
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
