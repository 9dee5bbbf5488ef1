"""What INT8 must reach: edgekd's default quantizer against seven rivals, on four models and in two formats.

    OMP_NUM_THREADS=1 python benchmarks/quantization.py --output quantization --store artifacts
    OMP_NUM_THREADS=1 python benchmarks/quantization.py --output quantization --only effnet --only rivals
    OMP_NUM_THREADS=1 python benchmarks/quantization.py --output quantization --only table
    OMP_NUM_THREADS=1 python benchmarks/quantization.py --output quantization --only pruning --only qat

Each model (student, effnet, minilm, minilm-search) has three parts: edgekd's files (ours), those of the rivals, each
made in a virtual environment of its own (rivals), and the table, for which all files are scored on the same test items
and timed in turns, by one thread (table). What is in the output folder is taken from there, so the table, which wants
a quiet machine, can be made by itself. A target that was missed is said to be MISSED, and the command then ends with 1.
The student of minilm-search is only taken out of the store of a build (--store), or skipped. Two more parts train the
default pipeline's student for minutes, and so run where they are named alone: it races the pruned student against its
rivals (pruning), and shows what quantization-aware distillation gives (qat).

The environments take about 6 GB; the photographs for EfficientNet-Lite0 come from Debian by apt-get (200 MB).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two threads on shared cores can be far slower

from distilling.row import Row, show
from quantizing import effnet, making, measuring, shipped, table, trained
from quantizing.making import Made
from quantizing.measuring import Measured
from quantizing.steps import AbsentError
from quantizing.subject import FORMATS, Subject

from edgekd.profile.turns import TURNS

MODELS: dict[str, Callable[[Path, Path | None], Subject]] = {
    "student": shipped.student,
    "effnet": effnet.subject,
    "minilm": shipped.minilm,
    "minilm-search": shipped.search,
}
PARTS = ("ours", "rivals", "table")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = (*MODELS, *PARTS, *trained.PARTS)
    parser.add_argument("--only", action="append", choices=choices, help="a model or a part; repeatable (default: all)")
    parser.add_argument("--output", type=Path, help="keep what is made here, and go on from it (default: keep nothing)")
    parser.add_argument("--store", type=Path, help="an output folder of edgekd build, to take the float students from")
    parser.add_argument("--turns", type=int, default=TURNS, help="how often each file has its turn to be timed")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        output = (given.output or Path(scratch)).resolve()
        training = [part for name, part in trained.PARTS.items() if name in (given.only or ())]
        met = [show_trained(part, output / "trained") for part in training]
        others = set(given.only or (*MODELS, *PARTS)) - set(trained.PARTS)
        return max([*met, compare(given, output, others) if others else 0])


def compare(given: argparse.Namespace, output: Path, chosen: set[str]) -> int:
    """The models with the parts that are wanted of each."""
    models, parts = ([each for each in known if each in chosen] or list(known) for known in (MODELS, PARTS))
    found: list[Measured] = []
    failed: list[tuple[str, Made]] = []
    for subject in subjects(models, output, given.store):
        make(subject, output, parts)
        if "table" in parts:
            found += measure(subject, output / subject.name, given.turns)
            failed += [(subject.name, each) for each in made(output / subject.name) if each.error]
    return show_all(found, failed) if "table" in parts else 0


def show_trained(part: Callable[[Path], Iterable[Row]], folder: Path) -> int:
    """Run one of the parts that train, and print its rows."""
    rows = list(part(folder))
    show(rows)
    return 0 if all(row.met for row in rows) else 1


def subjects(names: list[str], output: Path, store: Path | None) -> Iterator[Subject]:
    """The models with their data; without those that can't be had."""
    kept = store / ".store" if store is not None and (store / ".store").is_dir() else store
    for name in names:
        try:
            yield MODELS[name](output / name, None if kept is None else kept.resolve())
        except AbsentError as error:
            print(f"{name}: skipped: {error}", flush=True)


def make(subject: Subject, output: Path, parts: list[str]) -> None:
    """Quantize, as far as it isn't done."""
    if "ours" in parts:
        making.by_us(subject, output / subject.name)
    if "rivals" in parts:
        making.by_rivals(subject, output / subject.name, output / "environments")


def made(folder: Path) -> list[Made]:
    """What there is of all formats."""
    return [each for form in (*FORMATS, "torch") for each in making.all_made(form, folder)]


def measure(subject: Subject, folder: Path, turns: int) -> Iterator[Measured]:
    """Score and time all files of one model, format by format."""
    for form in FORMATS:
        print(f"{subject.name} {form}: scoring and timing", flush=True)
        files = [each for each in making.all_made(form, folder) if not each.error]
        yield from measuring.measured(subject, form, files, turns)
    for each in making.all_made("torch", folder):
        if not each.error:
            yield measuring.in_torch(subject, each)


def show_all(found: list[Measured], failed: list[tuple[str, Made]]) -> int:
    """Print both tables."""
    for line in table.lines(found, failed):
        print(line)
    rows = list(table.rows(found))
    show(rows)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
