"""What distilling must reach: memory, throughput, what it gains on images, and the search pipeline's files.

    OMP_NUM_THREADS=1 python benchmarks/distillation.py
    OMP_NUM_THREADS=1 python benchmarks/distillation.py --only memory --only throughput
    nohup nice -n 5 python benchmarks/distillation.py --only image-gain --output gain > gain.log &

One table; a target that was missed is said to be MISSED, and the command then ends with 1. Every ratio is of two
figures of one run. The parts ``throughput`` and ``minilm`` need the teacher (``edgekd[demo-text]``), ``image-gain``
needs Debian's package dataset-fashion-mnist.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two threads on shared cores can be far slower

from distilling.row import Row, show


def memory(given: argparse.Namespace, _output: Path) -> list[Row]:
    """Flat memory."""
    from distilling import memory

    return memory.rows(tuple(given.rows))


def throughput(given: argparse.Namespace, _output: Path) -> list[Row]:
    """Texts per second."""
    from distilling import throughput

    return throughput.rows(given.batches)


def image_gain(given: argparse.Namespace, output: Path) -> list[Row]:
    """Distilled against labels alone."""
    from distilling import image_gain

    return image_gain.rows(output / "image-gain", range(given.seeds))


def minilm(_given: argparse.Namespace, output: Path) -> list[Row]:
    """The search pipeline."""
    from distilling import minilm

    return minilm.rows(output / "minilm")


def minilm_trimmed(_given: argparse.Namespace, output: Path) -> list[Row]:
    """The same with the vocabulary cut to the tokens of the training texts; takes what ``minilm`` made."""
    from distilling import minilm

    return minilm.rows(output / "minilm", trimmed=True)


PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Row]]] = {
    "memory": memory,
    "throughput": throughput,
    "image-gain": image_gain,
    "minilm": minilm,
    "minilm-trimmed": minilm_trimmed,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part; repeatable (default: all)")
    parser.add_argument("--output", type=Path, help="keep what is made here, and go on from it (default: keep nothing)")
    parser.add_argument("--rows", type=int, nargs=2, default=[10_000, 1_000_000], help="memory: the two sizes")
    parser.add_argument("--batches", type=int, default=100, help="throughput: steps of each loop")
    parser.add_argument("--seeds", type=int, default=10, help="image-gain: how many")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        output = given.output or Path(scratch)
        for name in given.only or PARTS:
            rows += PARTS[name](given, output)
    show(rows)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
