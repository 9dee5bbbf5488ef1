"""Trained: what pruning and quantization-aware distillation give the default pipeline's student.

Both parts train, by the pipeline's own steps with ``compare = true`` or a stage ``qat`` added, and score on all 10,000
test images of Fashion-MNIST. Steps are kept in the output folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from distilling.image_gain import full_test
from distilling.row import Row

from edgekd import device, pipeline, planning
from edgekd.artifact import Artifact
from edgekd.float_models import final_float
from edgekd.profile.measurement import Interval
from edgekd.profile.turns import speed_up
from edgekd.runtimes import for_file
from edgekd.stages.race import RUNNERS
from edgekd.tasks.base import Task
from edgekd.toml_file import resolve
from quantizing import measuring, steps
from quantizing.subject import FORMATS, Quality, context

RACED = ("macs_kept = 0.85\n", "macs_kept = 0.85\ncompare = true\n")
AWARE = ('[[stages]]\nuse = "export"', '[[stages]]\nuse = "qat"\nepochs = 1\n\n[[stages]]\nuse = "export"')


def pruning(folder: Path) -> Iterator[Row]:
    """Race the pruned student against the unpruned one and one that was small from the start, trained as long."""
    whole = changed("pruning", RACED, folder)
    final = final_float(whole.pipeline)
    made = steps.made(whole, {final}, folder / "store")
    found = _raced([made[f"race_{runner}"].path for runner in RUNNERS], folder)
    facts = made[final].facts
    for runner, (quality, ms, _) in found.items():
        accuracy = measuring.interval(quality)
        print(f"{runner:<9} {_shares(accuracy)} of the test images, {ms:.3f} ms in float ONNX", flush=True)
    for runner in RUNNERS[1:]:
        apart = measuring.difference(found["pruned"][0], found[runner][0])
        shown = f"{_points(apart)} points, {_times(found[runner][2])} times as fast"
        print(f"pruned - {runner}: {shown}", flush=True)
    lost = [runner for runner in RUNNERS[1:] if is_better(found[runner][0], found["pruned"][0], runner)]
    told = f"shown to lose to {', '.join(lost) or 'neither'}; the step said: {facts['winner']} wins"
    yield Row("pruning: a loss is said", "true", told, met=not lost or facts["winner"] != "pruned")


def aware(folder: Path) -> Sequence[Row]:
    """INT8 with and without one epoch of quantization-aware distillation; no target, what it gives is shown.

    The float students are shown too: an epoch more of training gives something by itself.
    """
    task, names = full_test(), {form: f"{form}_int8" for form in FORMATS}
    found = {}
    for name, change in (("without", None), ("with", AWARE)):
        whole = changed(name, change, folder)
        made = steps.made(whole, {*names.values(), *(f"{form}_float" for form in FORMATS)}, folder / "store")
        found[name] = {step: _file(made[step], task) for form in FORMATS for step in (f"{form}_float", names[form])}
        for step, quality in found[name].items():
            print(f"{name} qat: {step:<12} {_shares(measuring.interval(quality))} of the test images", flush=True)
    for form, step in names.items():
        apart = measuring.difference(found["with"][step], found["without"][step])
        print(f"{form} INT8 with qat - without: {_points(apart)} points", flush=True)
    return ()


PARTS: Mapping[str, Callable[[Path], Iterable[Row]]] = {"pruning": pruning, "qat": aware}


def changed(name: str, change: tuple[str, str] | None, folder: Path) -> planning.Plan:
    """The plan of the default pipeline with some of its text replaced."""
    text = resolve("default", "pipelines", "pipeline").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text if change is None else text.replace(*change))
    return planning.make(pipeline.load(str(path)), device.load("host"), planning.Options())


def _raced(paths: list[Path], folder: Path) -> dict[str, tuple[Quality, float, Interval]]:
    """Of each student: its hits, its milliseconds, and how many times as fast the pruned one is."""
    from edgekd.models import loading
    from edgekd.models.running import outputs_of
    from edgekd.stages.timing import in_turns

    task, modules = full_test(), [loading.channels_last(loading.load(path)[0]) for path in paths]
    rows = np.arange(task.count("test"))
    hits = [Quality(task.score(outputs_of(module, task, "test", rows)).scores) for module in modules]
    turns = in_turns([loading.load(path)[0] for path in paths], task, context(folder / "timed"))
    return {
        runner: (quality, 1e3 * float(np.median(seconds)), speed_up(seconds, turns[0]))
        for runner, quality, seconds in zip(RUNNERS, hits, turns, strict=True)
    }


def is_better(rival: Quality, pruned: Quality, runner: str) -> bool:
    """Whether the rival is shown to win: as the race judges, by any gain if it is as small, else by over a point."""
    allowed = {"small": 0.0, "unpruned": 0.01}[runner]
    return measuring.difference(rival, pruned).lower > allowed * float(rival.scores.mean())


def _file(artifact: Artifact, task: Task) -> Quality:
    rows = np.arange(task.count("test"))
    outputs = for_file(artifact.path).Runner(artifact.path, 1).run(task.each("test", rows))
    return Quality(task.score(outputs).scores)


def _shares(found: Any) -> str:
    return f"{found.point:.2%} ({found.lower:.2%}..{found.upper:.2%})"


def _points(found: Any) -> str:
    return f"{100 * found.point:+.2f} ({100 * found.lower:+.2f}..{100 * found.upper:+.2f})"


def _times(found: Interval) -> str:
    return f"{found.point:.2f} ({found.lower:.2f}..{found.upper:.2f})"
