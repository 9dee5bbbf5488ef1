"""Build: run a plan's steps, each out of the store if it is there, then judge what they gave and report it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekd import interrupts, processes
from edgekd.artifact import Artifact
from edgekd.errors import BadInputError, EdgekdError, StageError
from edgekd.planning import Node, Plan
from edgekd.progress import Reporter
from edgekd.stages import STAGES
from edgekd.stages.base import Context
from edgekd.store import Product, Reading, Recipe, Store
from edgekd.toml_file import PACKAGED

SHARED = frozenset({"teacher_outputs", "distill", "prune", "finetune", "qat"})  # stages that several processes share
PATHS = {"weights", "source", "device_file"}  # options that say where something lies; its digest is another option


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step of this build, and the artifact that it gave."""

    name: str
    cached: bool
    seconds: float
    artifact: Artifact
    libraries: tuple[str, ...] = ()  # 'name==version' of those that decide what it makes


def check_shares(plan: Plan) -> None:
    """Refuse batches that can't be dealt out evenly to the processes of this build.

    Raises:
        BadInputError: the first such step.

    """
    count = processes.world()
    for node in plan.nodes:
        size = getattr(node.config, "batch_size", count)  # of the steps that train
        if size % count:
            raise BadInputError(
                f"{plan.pipeline.path}: {node.stage}: found batch_size = {size} and {count} processes, "
                f"expected a multiple of {count}: a batch is shared among them",
                f"batch_size = {size - size % count or count}, or another number of processes",
            )


def run(plan: Plan, store: Store, reporter: Reporter) -> tuple[StepTaken, ...]:
    """Take every step of ``plan`` in order; each artifact is found in ``store`` or made and kept there.

    Of several processes the first one alone keeps artifacts; the others help with the steps of SHARED.
    """
    made: dict[str, Artifact] = {}
    taken = []
    if processes.world() > 1:
        processes.main_first(lambda: plan.data.set)  # which keeps its tables in the store's folder
    try:
        for node in plan.nodes:
            reporter.started(node.name)
            began = time.monotonic()
            step = _Step(node, plan, recipe_of(node, plan, made), store, reporter)
            cached, artifact = _taken(step, tuple(made[name] for name in node.inputs))
            made[node.name] = artifact
            seconds = time.monotonic() - began
            taken.append(StepTaken(node.name, cached, seconds, artifact, step.recipe.libraries))
            reporter.finished(taken[-1])
            interrupts.check()
    finally:
        reporter.closed()
    return tuple(taken)


def cached_steps(plan: Plan, store: Reading) -> Iterator[tuple[Node, bool | None]]:
    """For each step, whether the store has it; None where that depends on a step that must run first.

    A file counts as whole here if its size is right; a build reads it, and makes a damaged one again.
    """
    made: dict[str, Artifact] = {}
    for node in plan.nodes:
        if not all(name in made for name in node.inputs):
            yield node, None
            continue
        found = store.listed(recipe_of(node, plan, made).key)
        if found is not None:
            made[node.name] = found
        yield node, found is not None


def recipe_of(node: Node, plan: Plan, made: dict[str, Artifact]) -> Recipe:
    """All that decides what ``node`` makes."""
    stage = STAGES[node.stage]
    return Recipe(
        stage=node.stage,
        version=stage.VERSION,
        config=node.config.model_dump_json(exclude=PATHS),  # the files' digests count, not where they lie
        inputs=tuple(made[name].sha256 for name in node.inputs),
        data=plan.data_of(node).digest if stage.READS_DATA else "",
        seed=plan.pipeline.seed,
        libraries=tuple(f"{name}=={_version(name)}" for name in stage.LIBRARIES),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """One step that is to be made."""

    node: Node
    plan: Plan
    recipe: Recipe
    store: Store
    reporter: Reporter

    def take(self, inputs: tuple[Artifact, ...]) -> tuple[bool, Artifact]:
        """Find the artifact, or make and keep it; return which of both, and the artifact."""
        found = self.store.find(self.recipe.key)
        if found is None:
            made = self.store.make(self.recipe, STAGES[self.node.stage].PRODUCES, partial(self._make, inputs))
        processes.said(False)  # no more help is needed
        return (False, made) if found is None else (True, found)

    def help(self, inputs: tuple[Artifact, ...]) -> tuple[bool, Artifact]:
        """Do this process's share if the first one asks for it, and take what that one kept."""
        asked = processes.said(False)
        if asked:
            with TemporaryDirectory(prefix="edgekd-") as scratch:
                self._work(inputs, Path(scratch))
            processes.wait()
            processes.said(False)
        found = self.store.find(self.recipe.key)
        if found is None:
            raise StageError(
                f"{self.store.root}: found nothing there that the first process made in the step {self.node.name!r}",
                "several machines need one output folder that all of them see: -o DIR",
            )
        return not asked, found

    def _make(self, inputs: tuple[Artifact, ...], scratch: Path) -> Product:
        """Run the stage in the first process, with the help of the others where they can."""
        if self.node.stage not in SHARED:
            return self._work(inputs, scratch)
        processes.said(True)
        product = self._work(inputs, scratch)
        processes.wait()  # until none needs what lies in ``partial``
        return product

    def _work(self, inputs: tuple[Artifact, ...], scratch: Path) -> Product:
        context = Context(
            scratch=scratch,
            partial=self.store.partial(self.recipe.key),
            data=self.plan.data_of(self.node),
            seed=self.plan.pipeline.seed,
            threads=self.plan.options.threads,
            progressed=self._progressed,
        )
        return STAGES[self.node.stage].run(inputs, self.node.config, context)

    def _progressed(self, done: int, total: int, text: str) -> None:
        interrupts.check()
        self.reporter.progressed(done, total, text)


def _taken(step: _Step, inputs: tuple[Artifact, ...]) -> tuple[bool, Artifact]:
    try:
        return step.take(inputs) if processes.is_main() else step.help(inputs)
    except EdgekdError:
        raise
    except Exception as error:
        if raised_in_edgekd(error):
            raise
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise StageError(f"the step {step.node.name!r} failed in a tool that it needs: {found}") from error


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
