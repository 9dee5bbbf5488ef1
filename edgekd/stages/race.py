"""Race: the pruned student beside the unpruned one and one that was small from the start, trained as long."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from edgekd.algorithms.agreement import cosines
from edgekd.algorithms.racing import Rival, Scores, rival, rows_alike, winner
from edgekd.artifact import Artifact, Kind
from edgekd.profile.measurement import Interval
from edgekd.profile.turns import speed_up
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES = ((Kind.TORCH,), (Kind.TORCH,), (Kind.TORCH,), (Kind.OUTPUTS,))
PRODUCES = Kind.TORCH
LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")
READS_DATA = True
RUNNERS = ("pruned", "unpruned", "small")
NOUNS = {
    "unpruned": "the unpruned student trained on for as many steps",
    "small": "a student cut to the same work before it was trained",
}


class Config(Frozen):
    """How the winner is found, and the machine on which the speed is measured."""

    keep_winner: bool = False  # else the pruned one goes on in any case
    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.01  # of the unpruned student's quality
    machine: str


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Score the three on the rows kept for choosing, time them in turns, and hand the winner on."""
    from edgekd.models import loading
    from edgekd.models.running import outputs_of
    from edgekd.stages.teaching import material_of
    from edgekd.stages.timing import in_turns

    modules = [loading.load(each.path)[0] for each in inputs[:3]]
    taught = material_of(inputs[3:], context)
    task, rows = taught.task, taught.rows.selection
    hits = task.labels is not None
    labels, answers = (task.labels[rows], None) if task.labels is not None else (None, taught.selection())
    outputs = [outputs_of(module, task, "train", rows) for module in modules]
    scores = dict(zip(RUNNERS, (_scores(each, labels, answers) for each in outputs), strict=True))
    turns = dict(zip(RUNNERS, in_turns(modules, task, context), strict=True))
    drops = {"unpruned": config.max_drop, "small": 0.0}
    rivals = {name: rival(scores["pruned"], scores[name], drop, hits=hits) for name, drop in drops.items()}
    faster = {name: speed_up(turns[name], turns["pruned"]) for name in rivals}
    best = winner(scores["pruned"], scores["unpruned"], scores["small"], config.max_drop, hits=hits)
    kept = best if config.keep_winner else "pruned"
    shutil.copyfile(inputs[RUNNERS.index(kept)].path, context.scratch / "student.safetensors")
    found = Found(float(scores["pruned"].mean()), rivals, faster, best, kept, len(rows))
    work = {name: inputs[0].facts[name] for name in ("macs_before", "macs_after")}
    return Product(context.scratch / "student.safetensors", {**work, **found.facts(), "summary": found.summary()})


@dataclass(frozen=True, slots=True)
class Found:
    """How the race went."""

    quality: float  # of the pruned one
    rivals: Mapping[str, Rival]
    faster: Mapping[str, Interval]  # how many times as fast as each rival the pruned one is
    best: str
    kept: str
    rows: int

    def facts(self) -> dict[str, Any]:
        """What the report holds."""
        beside = {
            name: {
                "quality": each.quality,
                "gain": each.gain._asdict(),
                "ahead": each.ahead,
                "faster": asdict(self.faster[name]),
            }
            for name, each in self.rivals.items()
        }
        facts = {"quality": self.quality, "rivals": beside, "winner": self.best, "kept": self.kept, "rows": self.rows}
        return {**facts, "notes": list(self.notes())}

    def summary(self) -> str:
        """The line of the step."""
        each = {"pruned": self.quality, **{name: found.quality for name, found in self.rivals.items()}}
        return f"{', '.join(f'{name} {quality:.1%}' for name, quality in each.items())}: {self.kept} goes on"

    def notes(self) -> Iterator[str]:
        """Each rival beside the pruned student, and what follows from it."""
        for name, each in self.rivals.items():
            faster = self.faster[name]
            yield (
                f"{NOUNS[name]} has {each.quality:.1%} of {self.rows} rows kept for choosing, the pruned one "
                f"{100 * each.gain.point:+.1f} points ({100 * each.gain.lower:+.1f}..{100 * each.gain.upper:+.1f}) and "
                f"{faster.point:.2f}x its speed (float ONNX, median of turns on this host)"
            )
        if self.best == "pruned":
            yield "pruning lost to neither of its rivals"
        elif self.kept == self.best:
            yield f"pruning lost: {NOUNS[self.best]} is better and goes on in its place"
        else:
            yield f'pruning lost to {NOUNS[self.best]}; compare = "keep-winner" would have gone on with that one'


def _scores(outputs: Any, labels: Any, teacher: Any) -> Scores:
    """Of each row: whether its label was found, or without labels how near the vector is to the teacher's."""
    if labels is not None:
        found: Scores = (outputs.argmax(1) == labels).astype("float64")
        return found
    return cosines(outputs, teacher) if outputs.shape == teacher.shape else rows_alike(outputs, teacher)
