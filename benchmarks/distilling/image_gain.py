"""Image gain: what distilling gives the default image student over the same training on labels alone.

For each seed edgekd's own steps run up to the distilled student and its control (the default pipeline with
``--control``, before pruning), on the bundled 13,500 images. Both are scored on all 10,000 test images of
Fashion-MNIST, which come with Debian's package dataset-fashion-mnist. Steps and scores are kept in the output folder:
what was interrupted goes on from there. Ten seeds take about 25 minutes on a core of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from distilling.row import Row
from edgekd import device, executor, pipeline, planning
from edgekd.algorithms.proportions import student_quantile
from edgekd.data import bundled
from edgekd.data.sources import DEBIAN_FOLDER
from edgekd.progress import Lines
from edgekd.store import Store
from edgekd.tasks.base import Task
from edgekd.tasks.image_classification import ImageClassification

SEEDS = range(10)
TARGET = 0.5  # points
STUDENTS = {"distilled": "student_unpruned", "control": "control"}  # the names of the steps


def rows(folder: Path, seeds: Sequence[int] = SEEDS) -> list[Row]:
    """The mean difference over the seeds, which are paired, with its 95 % interval."""
    folder.mkdir(parents=True, exist_ok=True)
    gains = []
    for seed in seeds:
        found = scored(seed, folder)
        gains.append(100 * (found["distilled"] - found["control"]))
        shown = ", ".join(f"{name} {value:.2%}" for name, value in found.items())
        print(f"seed {seed}: {shown}, difference {gains[-1]:+.2f} points", flush=True)
    mean, half = float(np.mean(gains)), half_width(gains)
    text = f"{mean:+.2f} points ({mean - half:+.2f}..{mean + half:+.2f}, {len(gains)} seeds)"
    met = mean >= TARGET and mean - half > 0
    return [Row("image default: distilled - control", f">= +{TARGET}", text, met)]


def half_width(values: Sequence[float]) -> float:
    """Half of the two-sided 95 % interval of the mean, by Student's t."""
    if len(values) < 2:
        return float("inf")
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return student_quantile(0.975, len(values) - 1) * error


def scored(seed: int, folder: Path) -> Mapping[str, float]:
    """Both students' accuracy with this seed, out of the folder if it is there."""
    path = folder / f"seed-{seed}.json"
    if not path.is_file():
        path.write_text(json.dumps(dict(_accuracies(seed, folder))) + "\n")
    found: Mapping[str, float] = json.loads(path.read_text())
    return found


def _accuracies(seed: int, folder: Path) -> Iterator[tuple[str, float]]:
    from edgekd.models import loading
    from edgekd.models.running import outputs_of

    task = full_test()
    for name, path in _trained(seed, folder / "store").items():
        module = loading.channels_last(loading.load(path)[0])
        outputs = outputs_of(module, task, "test", np.arange(task.count("test")))
        yield name, float(task.score(outputs).scores.mean())


def _trained(seed: int, store: Path) -> dict[str, Path]:
    """Train both students by the default pipeline's own steps, and no others."""
    chosen = pipeline.load("default").model_copy(update={"seed": seed})
    whole = planning.make(chosen, device.load("host"), planning.Options(control=True))
    wanted = _needed(whole.nodes, set(STUDENTS.values()))
    steps = executor.run(replace(whole, nodes=wanted), Store(store), Lines())
    made = {step.name: step.artifact.path for step in steps}
    return {name: made[step] for name, step in STUDENTS.items()}


def _needed(nodes: Sequence[planning.Node], names: set[str]) -> tuple[planning.Node, ...]:
    """The steps of those names and all that they take, in order."""
    kept: list[planning.Node] = []
    for node in reversed(nodes):
        if node.name in names:
            kept.insert(0, node)
            names = names | set(node.inputs)
    return tuple(kept)


@cache
def full_test() -> Task:
    """All test images."""
    data: Any = bundled.load(bundled.full_files(DEBIAN_FOLDER), "Fashion-MNIST")
    return ImageClassification(data, selection=500)
