"""Write the work of every network that is described here into the published tables.

    python scripts/count_work.py [--check]

fills the columns of ``scripts/data/published_tables.csv`` from ``scripts/architectures.py``,
``scripts/more_architectures.py``, ``scripts/light_architectures.py`` and ``scripts/detectors.py``. A network
that is described nowhere keeps empty columns, and one that sources name differently has one name, because
otherwise leaving it out would leave a copy of it in.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

from architectures import check_counts, work_of
from detectors import DETECTORS, KNOWN_DETECTORS, counted
from more_architectures import MORE, MORE_KNOWN
from network import Work, compare_counts

FILE = Path(__file__).parent / "data" / "published_tables.csv"
COLUMNS = (
    *("conv_macs", "wide_macs", "winograd_macs", "depthwise_macs", "dense_macs"),
    *("unpacked_macs", "weights", "values", "read", "transformed", "operators"),
)
SAME = {"mobilenet_v1_1.0_224": "mobilenet", "mobilenet_v2_1.0_224": "mobilenet_v2"}


def named(model: str) -> str:
    """The one name of a network."""
    shortened = re.sub(r"_(\d\.\d)0_", r"_\1_", model)
    return SAME.get(shortened, shortened)


def described(model: str) -> Work | None:
    """The work of a network; None where nothing is known of it."""
    try:
        return counted(model) or work_of(model)
    except ValueError:
        return None


def filled(record: dict[str, str]) -> dict[str, str]:
    """A row with the counts of its network."""
    model = named(record["model"])
    work = described(model)
    counts = {name: f"{getattr(work, name):.0f}" if work else "" for name in COLUMNS}
    ordered = {name: record[name] for name in ("source", "engine", "precision", "threads", "device", "chip")}
    ordered |= {"clusters": record["clusters"], "binding": record["binding"], "model": model}
    return {**ordered, "family": record["family"], **counts, **{name: record[name] for name in LAST}}


LAST = ("latency_ms", "repeats")


def text() -> str:
    """The table with its counts."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = [filled(record) for record in csv.DictReader(file)]
    lines = [",".join(rows[0])]
    lines += [",".join(f'"{value}"' if "," in value else value for value in each.values()) for each in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the work of networks into the published tables.")
    parser.add_argument("--check", action="store_true", help="fail if the tables do not hold these counts")
    check = parser.parse_args().check
    check_counts()
    compare_counts(MORE, MORE_KNOWN)
    compare_counts(DETECTORS, KNOWN_DETECTORS)
    found = text()
    if not check:
        FILE.write_text(found, encoding="utf-8")
        print(f"wrote {FILE.name}")
    elif FILE.read_text(encoding="utf-8") != found:
        raise SystemExit(f"{FILE} does not hold the counts: run scripts/count_work.py")


if __name__ == "__main__":
    main()
