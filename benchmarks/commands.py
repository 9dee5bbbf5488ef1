"""How long the commands take that people wait for, each in fresh processes, in turns with a Python that does nothing.

    python benchmarks/commands.py [--run artifacts/latest]

The median of several processes' wall times, after one that isn't counted (it fills the caches of the disk). The machine
must be idle: where the processor's time, which stands beside it, is much less, other programs took their share.
Python may keep what it compiled, as it does where edgekd is installed, even if PYTHONDONTWRITEBYTECODE is set here.
``--run`` names a finished run of the default pipeline, of which the report is made.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

EDGEKD = (sys.executable, "-m", "edgekd")
NOTHING = "python -c pass"


def commands(run: Path | None, folder: Path) -> dict[str, tuple[tuple[str, ...], float]]:
    """What is timed: its words, and the seconds that it may take."""
    found = {
        NOTHING: ((sys.executable, "-c", "pass"), float("inf")),
        "edgekd --help": ((*EDGEKD, "--help"), 0.25),
        "edgekd plan --device pixel8": ((*EDGEKD, "plan", "--device", "pixel8"), 1.0),
        "edgekd devices list": ((*EDGEKD, "devices", "list"), 0.4),
    }
    if run is not None:
        found["edgekd report RUN"] = ((*EDGEKD, "report", str(run), "-o", str(folder / "report.html")), 3.0)
    return found


def seconds(words: Sequence[str]) -> tuple[float, float]:
    """The wall and processor time of one process; if that fails, so does the benchmark, with its message and code."""
    began, before = time.perf_counter(), _processor_s()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        raise SystemExit(done.returncode)
    return time.perf_counter() - began, _processor_s() - before


def _processor_s() -> float:
    """What all processes took that were started here and have ended."""
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken.ru_utime + taken.ru_stime


def timed(all_words: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Both times by name, in turns, so that each meets the same machine; the first round isn't counted."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in all_words}
    for _ in range(rounds + 1):
        for name, words in all_words.items():
            found[name].append(seconds(words))
    return {name: times[1:] for name, times in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run, whose report is made")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked = commands(given.run, Path(folder))
        found = timed({name: words for name, (words, _) in asked.items()}, given.rounds)
    base = statistics.median(wall for wall, _ in found[NOTHING])
    print(f"{'command':<30} {'median':>8} {'range':>15} {'processor':>10} {'limit':>8}  {'of nothing':>10}")
    for name, both in found.items():
        times, processor = zip(*both, strict=True)
        median, limit = statistics.median(times), asked[name][1]
        said = "" if name == NOTHING else "met" if median <= limit else "MISSED"
        shown = "" if name == NOTHING else f"{limit:.2f} s"
        between = f"{min(times):.2f}..{max(times):.2f} s"
        busy = f"{statistics.median(processor):.2f} s"
        print(
            f"{name:<30} {median:>6.2f} s {between:>15} {busy:>10} {shown:>8}  {median / base:>9.1f}x  {said}".rstrip()
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
