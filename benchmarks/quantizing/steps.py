"""Steps: what a pipeline's own steps made, out of a store, or made there now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from edgekd import device, executor, pipeline, planning
from edgekd.artifact import Artifact
from edgekd.progress import Lines
from edgekd.stages import calibration
from edgekd.store import Store
from edgekd.tasks.base import Task

SAMPLES = 300  # calibration rows of every tool


class AbsentError(Exception):
    """What was not to be made is not in the store."""


class Fresh(Lines):
    """A line for each step that had to run."""

    def finished(self, taken: executor.StepTaken) -> None:
        """Print it unless the step was in the store."""
        if not taken.cached:
            super().finished(taken)


def planned(name: str, store: Path) -> planning.Plan:
    """The plan of a shipped pipeline for this machine, with as many calibration rows as the rivals take."""
    whole = planning.make(pipeline.load(name), device.load("host"), planning.Options(), store / "tables")
    nodes = [
        replace(node, config=calibration.Config(samples=SAMPLES)) if node.stage == "calibration" else node
        for node in whole.nodes
    ]
    return replace(whole, nodes=tuple(nodes))


def made(
    whole: planning.Plan, wanted: Collection[str], store: Path, costly: Collection[str] = ()
) -> Mapping[str, Artifact]:
    """The artifacts of the steps ``wanted``.

    Raises:
        AbsentError: one of the steps ``costly`` would have to run.

    """
    needed = replace(whole, nodes=tuple(reversed(list(_needed(whole, wanted)))))
    kept = Store(store)
    for node, there in executor.cached_steps(needed, kept):
        if node.name in costly and not there:
            raise AbsentError(f"{store} has no {node.name!r} of the pipeline {whole.pipeline.path.stem}")
    return {step.name: step.artifact for step in executor.run(needed, kept, Fresh())}


def task(whole: planning.Plan, tokenizer: Artifact | None, scratch: Path) -> Task:
    """The plan's task, whose texts are read by ``tokenizer``; token ids are kept in ``scratch``."""
    scratch.mkdir(parents=True, exist_ok=True)
    return whole.data.open(None if tokenizer is None else tokenizer.path, scratch)


def _needed(whole: planning.Plan, wanted: Collection[str]) -> Iterator[planning.Node]:
    """The steps ``wanted`` and all that they take, the last one first."""
    names = set(wanted)
    for node in reversed(whole.nodes):
        if node.name in names:
            names |= set(node.inputs)
            yield node
