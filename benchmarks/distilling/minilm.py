"""MiniLM: the shipped search pipeline, built once in a fresh folder: quality, latency and size of its INT8 files.

Latency is that of one text through edgekd's own runner, in this process, by one thread: teacher in float and INT8
student take turns of ten runs, so that both see the same machine. The texts are real ones, laid end to end and cut to
length.
With ``trimmed`` the student's vocabulary is cut to the tokens that the training texts use; what the first build made is
taken from its store.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from distilling.row import Row, at_least
from edgekd import device, executor, pipeline, planning
from edgekd.algorithms.bootstrap import mean, ratio_interval
from edgekd.data.tokens import Tokenizer
from edgekd.evidence import Findings
from edgekd.progress import Quiet
from edgekd.runtimes import for_file
from edgekd.store import Store
from edgekd.tasks.base import Arrays

NAME = "minilm-search"
DEVICE = "host"
THREADS = 2  # of the build
MRR = {"tflite": 0.975, "onnx": 0.96}  # share of the teacher's
FASTER = {"tflite": 10.0, "onnx": 5.0}
LENGTHS = {"tflite": (64,), "onnx": (32, 128)}  # tokens; a TFLite file has one length
SMALLER, SMALLER_TRIMMED = 5.0, 7.0
BUILD_MINUTES = 30.0
TURNS, WARM, RUNS = 10, 3, 10


def rows(folder: Path, *, trimmed: bool = False) -> list[Row]:
    """Build, or take what was built there before, and hold it against the targets."""
    folder.mkdir(parents=True, exist_ok=True)
    if trimmed:
        found = findings(_trimmed(folder), folder)
        return [*quality(found, "minilm trimmed"), *sizes(found, "minilm trimmed", SMALLER_TRIMMED)]
    minutes = first_build(folder) / 60
    found = findings(NAME, folder)
    return [
        *quality(found, NAME),
        *latency(found),
        *sizes(found, NAME, SMALLER),
        Row(f"{NAME}: first build", f"<= {BUILD_MINUTES:g} min", f"{minutes:.1f} min", minutes <= BUILD_MINUTES),
    ]


def first_build(folder: Path) -> float:
    """Seconds of the build into a folder in which nothing was."""
    note, output = folder / "first-build.json", folder / "artifacts"
    if note.is_file():
        return float(json.loads(note.read_text())["seconds"])
    if output.exists():
        raise SystemExit(f"{output}: found an unfinished build, whose time is no first build's; remove the folder")
    began = time.monotonic()
    command = ["build", NAME, "--device", DEVICE, "--threads", str(THREADS), "-o", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    with (folder / "build.txt").open("w") as said:
        done = subprocess.run([sys.executable, "-m", "edgekd", *command], env=environment, stdout=said, check=False)
    seconds = time.monotonic() - began
    if done.returncode not in (0, 1, 4):  # the verdict is about the budget, and not what is looked at here
        raise SystemExit(f"edgekd build ended with {done.returncode}")
    note.write_text(json.dumps({"seconds": seconds, "exit_code": done.returncode}) + "\n")
    return seconds


def findings(name: str, folder: Path) -> Findings:
    """What the build left in its store; steps that are not there any more are made again."""
    store = folder / "artifacts" / ".store"
    options = planning.Options(threads=THREADS)
    made = planning.make(pipeline.load(name), device.load(DEVICE), options, store / "tables")
    return Findings(made, executor.run(made, Store(store), Quiet()))


def quality(found: Findings, label: str) -> Iterator[Row]:
    """MRR against the teacher's on the same queries: of all galleries, and of each."""
    teacher = found.scores("teacher")
    galleries = found.outputs["teacher"]["galleries"]
    print(f"{label}: MRR of the teacher {teacher.mean():.4f}, {len(teacher):,} queries", flush=True)
    for form, target in MRR.items():
        ours = found.scores(f"{form}_int8")
        for gallery in np.unique(galleries):
            chosen = galleries == gallery
            share = ratio_interval(mean, ours[chosen], teacher[chosen])
            print(
                f"  gallery {gallery}, {form} INT8: {share.point:.1%} ({share.lower:.1%}..{share.upper:.1%})",
                flush=True,
            )
        whole = ratio_interval(mean, ours, teacher)
        shown = f"{whole.point:.2%} ({whole.lower:.1%}..{whole.upper:.1%})"
        yield Row(f"{label}: {form} INT8 MRR / teacher's", f">= {target:.1%}", shown, whole.point >= target)


def latency(found: Findings) -> Iterator[Row]:
    """Median times, teacher in float over INT8 student, in the same runtime."""
    for form, lengths in LENGTHS.items():
        for length in lengths:
            teacher, student = medians(
                [_model(found, f"teacher_{form}", length), _model(found, f"{form}_int8", length)]
            )
            more = f" ({1e3 * teacher:.2f} / {1e3 * student:.2f} ms)"
            name = f"{NAME}: {form} teacher float / INT8, {length} tokens"
            yield at_least(name, teacher / student, FASTER[form], more)


@dataclass(frozen=True)
class Model:
    """A loaded file and what it is run on."""

    runner: Any
    inputs: Arrays

    def seconds(self) -> float:
        """The time of one run."""
        began = time.perf_counter()
        self.runner.run([self.inputs])
        return time.perf_counter() - began


def medians(models: list[Model]) -> list[float]:
    """The median time of each; they take turns of some runs, of which the first ones fill the caches again."""
    times: list[list[float]] = [[] for _ in models]
    for _ in range(TURNS):
        for model, found in zip(models, times, strict=True):
            found.extend([model.seconds() for _ in range(WARM + RUNS)][WARM:])
    return [statistics.median(each) for each in times]


def _model(found: Findings, name: str, length: int) -> Model:
    path = found.artifacts[name].path
    of_teacher = name.startswith("teacher") and "teacher_tokenizer" in found.artifacts
    reader = found.artifacts["teacher_tokenizer" if of_teacher else "tokenizer"].path
    tokenizer = replace(Tokenizer.load(reader), max_length=length)
    pairs = found.plan.data.set.test
    ids = np.array([tokenizer.token_ids(" ".join(islice(pairs.documents, length)))], np.int64)
    if ids.shape[1] != length:
        raise RuntimeError(f"found {ids.shape[1]} tokens, expected {length}")
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return Model(for_file(path).Runner(path, 1), inputs)


def sizes(found: Findings, label: str, target: float) -> Iterator[Row]:
    """Bytes of the teacher's float file over those of the INT8 file."""
    for form in LENGTHS:
        teacher, student = (found.artifacts[name].size_bytes for name in (f"teacher_{form}", f"{form}_int8"))
        more = f" ({teacher / 1e6:.1f} / {student / 1e6:.1f} MB)"
        yield at_least(f"{label}: {form} teacher float file / INT8 file", teacher / student, target, more)


def _trimmed(folder: Path) -> str:
    """The shipped pipeline with fewer rows in its embedding, as a file of its own."""
    shipped = pipeline.load(NAME).path.read_text(encoding="utf-8")
    path = folder / f"{NAME}-trimmed.toml"
    student = '[student]\nvocabulary = "merged"\ntoken_min_count = 2\n'
    path.write_text(shipped.replace("[student]\n", student), encoding="utf-8")
    return str(path)
