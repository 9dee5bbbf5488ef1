"""How fast torch modules are as the files that they become: exported to float ONNX, and run in turns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgekd.profile.turns import Seconds, take_turns
from edgekd.runtimes.onnxruntime import Runner
from edgekd.stages import export_onnx
from edgekd.stages.base import Context
from edgekd.tasks.base import Task


def in_turns(modules: Sequence[Any], task: Task, context: Context) -> Seconds:
    """Return the median seconds of each turn, (modules, turns), for one row that costs what the largest costs."""
    paths = [context.scratch / f"timed-{number}.onnx" for number in range(len(modules))]
    for module, path in zip(modules, paths, strict=True):
        export_onnx.write(module, task, path)
    return of_files(paths, task, context)


def of_files(paths: Sequence[Path], task: Task, context: Context) -> Seconds:
    """The same for files that are there."""
    row, runners = task.representative(), [Runner(path, context.threads) for path in paths]
    return take_turns([partial(runner.output, runner.feed(row)) for runner in runners])
