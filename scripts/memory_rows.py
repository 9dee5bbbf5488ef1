"""The rows of ``scripts/data/host_memory_rows.csv``: what files of this project took on one machine."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from edgekd.targets.memory import Work

ROWS = Path(__file__).parent / "data" / "host_memory_rows.csv"
FEATURES = tuple(field.name for field in fields(Work))[1:]
SIZES = ("base", "load_peak", "peak")


@dataclass(frozen=True, slots=True)
class Row:
    """One file that was measured; bytes."""

    family: str
    digest: str  # of the file
    tokens: int  # of its input, 0 where the file fixes that
    work: Work
    base: float  # the process with its runtime, before loading
    load_peak: float
    peak: float


def read(path: Path = ROWS) -> list[Row]:
    """The rows at ``path``."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_parsed(record) for record in csv.DictReader(file)]


def _parsed(record: Mapping[str, str]) -> Row:
    work = Work(record["runtime"], *(float(record[name]) for name in FEATURES))
    return Row(
        record["family"], record["digest"], int(record["tokens"]), work, *(float(record[name]) for name in SIZES)
    )


def write(rows: Sequence[Row], path: Path = ROWS) -> None:
    """The same rows, in a fixed order."""
    ordered = sorted(rows, key=lambda row: (row.family, row.work.runtime, row.peak, row.digest, row.tokens))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("family", "digest", "tokens", "runtime", *FEATURES, *SIZES))
        for row in ordered:
            sizes = (*astuple(row.work)[1:], row.base, row.load_peak, row.peak)
            writer.writerow((row.family, row.digest, row.tokens, row.work.runtime, *(round(size) for size in sizes)))
