"""Details: what only report.html shows of a build, read from its artifacts: operators, differing items, its command."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from edgekd.artifact import Kind
from edgekd.evidence import Findings
from edgekd.planning import Plan
from edgekd.profile.observed import Observed
from edgekd.report.details import (
    SCORES,
    Details,
    ExampleRow,
    MemoryRow,
    OperatorCount,
    OperatorRow,
    TimedFile,
    TimedRow,
)
from edgekd.runtimes.graph import Graph, Operator
from edgekd.targets import predicted
from edgekd.tasks.base import Outputs, Task

TOP = 10  # operators of a file
EXAMPLES = 12
TEXT_CHARACTERS = 500  # of one example
IMAGE_BYTES = 40_000  # a larger image isn't kept: report.html is to stay below 2 MB


def details(found: Findings) -> Details:
    """What the run folder keeps for report.html."""
    differing = dict(_differing(found))
    can_predict = predicted.can_predict(found.plan.device) and not found.plan.device.is_host
    operators = (_operators(name, found, can_predict=can_predict) for name in found.shipped)
    return Details(
        command=command(found.plan),
        share_of="the predicted time" if can_predict else "the multiply-accumulates",
        operators=tuple(chain.from_iterable(operators)),
        counts=tuple(_count(name, found.graphs[name]) for name in found.shipped),
        differing={name: len(rows) for name, rows in differing.items()},
        examples=() if found.plan.options.no_examples else tuple(_examples(differing, found)),
        timed=tuple(_timed(each) for each in found.observed.values()),
        memory=tuple(_memory(each) for each in found.observed.values()),
    )


def write_scores(found: Findings, run: Path) -> None:
    """Keep what each test item scored, so that quality can be judged again."""
    path = run / SCORES
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **found.scored)


def command(plan: Plan) -> str:
    """The command that makes the same again; its pipeline and device are named as a person would."""
    options = plan.options
    words = ["edgekd", "build", plan.pipeline.name, "--device", plan.device.name]
    for limit in options.limits:
        words += ["--limit", limit.text]
    words += ["--control"] * options.control + ["--quick"] * options.quick
    words += ["--threads", str(options.threads)] if options.threads != 1 else []
    words += ["--load", str(options.load)] if options.load else []
    words += ["--sustained"] * options.sustained
    for name, value in (("--parity", options.parity), ("--require", options.require)):
        words += [name, value] if value else []
    words += ["--no-examples"] * options.no_examples
    return shlex.join([*words, *["--allow-inconclusive"] * options.allow_inconclusive])


def _count(name: str, graph: Graph) -> OperatorCount:
    return OperatorCount(name, len(graph.operators), graph.int8_share)


def _operators(name: str, found: Findings, *, can_predict: bool) -> Iterator[OperatorRow]:
    """The operators with the largest shares of a file's predicted time, or of its multiply-accumulates."""
    graph = found.graphs[name]

    def cost(each: Operator) -> float:
        """Of the operator alone: its place among the others costs nothing in the latency model."""
        alone = replace(graph, operators=(each,))
        return predicted.median_s(alone, found.plan.device).point if can_predict else float(each.macs)

    costs = [cost(each) for each in graph.operators]
    total = sum(costs) or 1.0
    for seconds, each in sorted(zip(costs, graph.operators, strict=True), key=lambda pair: -pair[0])[:TOP]:
        yield OperatorRow(name, each.name, each.op_type, each.macs, each.weight_bytes, each.int8, seconds / total)


def _timed(seen: Observed) -> TimedFile:
    """What its runtime told of a file's operators."""
    told = seen.operators
    if told.unavailable:
        return TimedFile(seen.artifact, seen.provenance, told.unavailable)
    return TimedFile(
        artifact=seen.artifact,
        provenance=seen.provenance,
        operators=tuple(
            TimedRow(each.name, each.op_type, each.runs_in, each.provider, each.share) for each in told.largest(TOP)
        ),
        count=len(told.operators),
        int8_share=told.share_in("int8"),
        float_share=told.share_in("float"),
        requested=told.requested,
        fell_back=tuple(each.name for each in told.fell_back),
        runs=told.runs,
        slowdown=told.profiled_s / told.plain_s,
    )


def _memory(seen: Observed) -> MemoryRow:
    course = seen.memory
    return MemoryRow(
        *(seen.artifact, seen.provenance, course.unavailable, course.seconds, course.resident_bytes), course.marks
    )


def _differing(found: Findings) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """The test rows of a classifier to which an INT8 file gives another class than the teacher."""
    teacher = found.outputs.get("teacher")
    if teacher is None or found.tested["kind"] != Outputs.LOGITS or "outputs" not in teacher:
        return
    said = teacher["outputs"].argmax(1)
    for name in found.shipped:
        yield name, np.flatnonzero(found.outputs[name]["outputs"].argmax(1) != said)


def _examples(differing: dict[str, npt.NDArray[np.int64]], found: Findings) -> Iterator[ExampleRow]:
    """Of those rows the ones of which the teacher is surest: they are the most surprising."""
    rows = np.unique(np.concatenate([*differing.values(), np.zeros(0, np.int64)]))
    if not len(rows):
        return
    logits = found.outputs["teacher"]["outputs"].astype(np.float64)
    ordered = np.sort(logits[rows], axis=1)
    surest = rows[np.argsort(ordered[:, -2] - ordered[:, -1], kind="stable")]
    with TemporaryDirectory() as scratch:
        task = found.plan.data.open(_tokenizer(found), Path(scratch))
        kept = (_example(int(row), task, found) for row in surest[: 4 * EXAMPLES])
        yield from [each for each in kept if each is not None][:EXAMPLES]


def _example(row: int, task: Task, found: Findings) -> ExampleRow | None:
    content = task.raw("test", row)
    if content is None or (task.raw_suffix == ".png" and len(content) > IMAGE_BYTES):
        return None
    image = task.raw_suffix == ".png"
    shown = b64encode(content).decode() if image else _shortened(content.decode("utf-8", "replace"))
    labels = task.test_labels
    said = {name: _class(task, found.outputs[name]["outputs"][row].argmax()) for name in ("teacher", *found.shipped)}
    label = "" if labels is None else _class(task, labels[row])
    return ExampleRow(row, "image" if image else "text", shown, label, said.pop("teacher"), said)


def _class(task: Task, number: int | np.integer) -> str:
    return task.classes[number] if task.classes and 0 <= number < len(task.classes) else str(number)


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]} …"


def _tokenizer(found: Findings) -> Path | None:
    """By which the exported model reads, for a task on texts."""
    node = next(each for each in found.plan.nodes if each.name == f"evaluate {found.float_model}")
    readers = [found.artifacts[name] for name in node.inputs if found.artifacts[name].kind is Kind.TOKENIZER]
    return readers[0].path if readers else None
