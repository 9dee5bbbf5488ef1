"""The published latencies, each with the work that its network does, and what they say of percentiles."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from architectures import family_of, work_of
from network import Work

FILE = Path(__file__).parent / "data" / "published_latency_rows.csv"
IN_ORDER = {"Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520"}
DOTPROD = {"Cortex-A55", "Cortex-A76", "Cortex-A77", "Cortex-A78"}
I8MM = {"Cortex-A720", "Cortex-X3", "Cortex-X4"}
HALF = {*DOTPROD, *I8MM, "Cortex-A75"}  # cores on which ncnn computes "float" in 16 bits, twice the values per cycle

BOARDS, PHONE_LIKE = ("Raspberry Pi 4 (4 GB)", "NVIDIA Jetson AGX Xavier (MAXN)"), "Firefly-RK3399"
STATISTICS = ("p50", "p90", "p95", "p99", "mean")

TAIL = 0.05  # on each side of a 90 % interval


@dataclass(frozen=True, slots=True)
class Row:
    """One published latency with the work that its network does."""

    source: str
    licence: str
    commit: str
    device: str
    chip: str
    core: str
    clock_hz: float
    threads: str
    engine: str
    precision: str
    family: str
    work: Work
    latency_s: float
    statistics_s: tuple[float, ...]  # p50, p90, p95, p99, mean; empty where the source gives just one

    @property
    def group(self) -> tuple[str, str, str]:
        """Rows with the same device, binding and program share one scale."""
        return self.engine, self.device, self.core

    @property
    def isa_class(self) -> str:
        """Order of execution and integer dot products: what a core can do per cycle."""
        order = "in-order" if self.core in IN_ORDER else "out-of-order"
        return f"{order} {'i8mm' if self.core in I8MM else 'dotprod' if self.core in DOTPROD else 'neon'}"


def features(row: Row) -> np.ndarray:
    """Convolution and dense MACs, depthwise MACs, bytes of weights."""
    work, width = row.work, 1 if row.precision == "int8" else 4
    return np.array([work.conv_macs + work.dense_macs, work.depthwise_macs, work.weights * width])


def read_rows() -> list[Row]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return [parse(record) for record in csv.DictReader(file)]


def parse(record: dict[str, str]) -> Row:
    engine = {"ncnn": "ncnn", "paddle-lite": "paddle-lite"}.get(record["source"], "tflite")
    latency_s = float(record["p50_ms"] or record["latency_ms"]) / 1e3
    if engine == "ncnn" and record["precision"] == "float" and record["core"] in HALF:
        latency_s *= 2
    columns = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "latency_ms")
    tails = tuple(float(record[name]) / 1e3 for name in columns) if record["p99_ms"] else ()
    return Row(
        source=record["source"],
        licence=record["licence"],
        commit=record["commit"],
        device=record["device"],
        chip=record["soc"],
        core=record["core"],
        clock_hz=float(record["clock_ghz"]) * 1e9,
        threads=record["threads"],
        engine=engine,
        precision=record["precision"],
        family=family_of(record["model"]),
        work=work_of(record["model"]),
        latency_s=latency_s,
        statistics_s=tails,
    )


def by(rows: Sequence[Row], key: Callable[[Row], object]) -> dict[object, list[Row]]:
    groups: dict[object, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def ratios(rows: Sequence[Row], devices: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each statistic over the median: the median device's median, and 5 % and 95 % quantiles of the worst devices."""
    table: dict[str, dict[str, float]] = {}
    for position, name in enumerate(STATISTICS[1:], 1):
        shares = [
            [
                row.statistics_s[position] / row.statistics_s[0]
                for row in rows
                if row.device == device and row.statistics_s
            ]
            for device in devices
        ]
        low, high = (
            getattr(np, side)([np.quantile(one, q) for one in shares]) for side, q in (("min", TAIL), ("max", 1 - TAIL))
        )
        middle = float(np.median([np.median(one) for one in shares]))
        table[name] = {
            "point": round(middle, 3),
            "lower": round(max(1.0, float(low)), 3),
            "upper": round(float(high), 3),
        }
    return table


def sources(rows: Sequence[Row]) -> list[dict[str, object]]:
    counted = Counter((row.source, row.licence, row.commit) for row in rows)
    return [
        {"source": name, "licence": licence, "commit": commit, "rows": count}
        for (name, licence, commit), count in sorted(counted.items())
    ]
