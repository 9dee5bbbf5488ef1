"""How fast torch modules are as the files that they become: exported to float ONNX, and run in turns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from edgekd.profile.turns import Seconds, take_turns
from edgekd.stages import export_onnx
from edgekd.stages.base import Context
from edgekd.tasks.base import Task


def in_turns(modules: Sequence[Any], task: Task, context: Context) -> Seconds:
    """Return the median seconds of each turn, (modules, turns), for one row that costs what the largest costs."""
    from edgekd.runtimes.onnxruntime import Runner

    runs, row = [], task.representative()
    for number, module in enumerate(modules):
        path = context.scratch / f"timed-{number}.onnx"
        export_onnx.write(module, task, path)
        runner = Runner(path, context.threads)
        runs.append(partial(runner.output, runner.feed(row)))
    return take_turns(runs)
